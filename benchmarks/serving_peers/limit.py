"""
The limit: nothing between uvicorn and ONNX Runtime but orjson. It checks nothing, and has one path.

Where columns.json lies beside it, records are objects by the names of columns, as for the generated service; else rows.
"""

from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import orjson

_options = onnxruntime.SessionOptions()
_options.intra_op_num_threads = _options.inter_op_num_threads = 1
_session = onnxruntime.InferenceSession(
    str(Path(__file__).with_name("model.onnx")), _options, providers=["CPUExecutionProvider"]
)
_input = _session.get_inputs()[0]
_type = {"tensor(double)": np.float64, "tensor(float)": np.float32}[_input.type]
_label = [_session.get_outputs()[0].name]
_columns = Path(__file__).with_name("columns.json")
_pick = itemgetter(*orjson.loads(_columns.read_bytes())) if _columns.exists() else None


async def app(_scope: Any, receive: Any, send: Any) -> None:
    """Predict."""
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    records = orjson.loads(body)["records"]
    rows = np.array(list(map(_pick, records)) if _pick else records, dtype=_type)
    answer = orjson.dumps({"predictions": _session.run(_label, {_input.name: rows})[0].tolist()})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})
