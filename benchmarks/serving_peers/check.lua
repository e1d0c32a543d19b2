-- wrk -s check.lua URL -- BODY EXPECTED: POST the file BODY, and hold each answer against the file EXPECTED.
-- Prints one line of JSON at the end; times in microseconds.

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

local function content(name)
  local file = assert(io.open(name, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

function init(args)
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  wrk.body = content(args[1])
  expected = content(args[2])
  wrong = 0
end

function response(status, _, body)
  if status ~= 200 or body ~= expected then
    wrong = wrong + 1
  end
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.timeout
  for _, thread in ipairs(threads) do
    failed = failed + thread:get("wrong")
  end
  local form = '\n{"requests": %d, "duration": %d, "failed": %d, "p50": %d, "p99": %d, "max": %d}\n'
  local p50, p99 = latency:percentile(50), latency:percentile(99)
  io.write(form:format(summary.requests, summary.duration, failed, p50, p99, latency.max))
end
