# mlops-ci for a CI system that runs jobs in images: GitLab, Azure Pipelines, Jenkins and others.
#
#   docker build -t mlops-ci .
#   docker run --rm -v "$PWD:/work" -w /work --user "$(id -u):$(id -g)" mlops-ci run
#
# BASE may be the image that training runs in, if it is of Debian's kind and has Python 3.11 or newer; its own Python
# stays as it is. Behind a proxy with a CA of its own: --secret id=ca,src=bundle.pem.
ARG BASE=python:3.13-slim
FROM ${BASE}

RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates git openssh-client \
    && rm -rf /var/lib/apt/lists/* \
    # A job's checkout belongs to whoever the CI system made it as, seldom to the user of the job.
    && git config --system --add safe.directory '*' \
    # ssh-keygen, which signs and checks approvals, refuses a user without a name.
    && { getent passwd 1000 >/dev/null || useradd --uid 1000 --create-home mlops; }

COPY pyproject.toml /opt/mlops-ci/
COPY .github/action /opt/mlops-ci/.github/action
COPY mlops_ci /opt/mlops-ci/mlops_ci
COPY templates /opt/mlops-ci/templates
COPY serving /opt/mlops-ci/serving

RUN --mount=type=secret,id=ca \
    if [ -f /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi \
    && PIP_NO_CACHE_DIR=1 python3 -I /opt/mlops-ci/.github/action/install.py /opt/mlops-ci/environment \
    && rm -rf /opt/mlops-ci/environment-uv \
    # Compiled here, since nobody may write there later.
    && /opt/mlops-ci/environment/bin/python -m compileall -q /opt/mlops-ci/mlops_ci /opt/mlops-ci/environment/lib \
    && printf '#!/bin/sh\nexec /opt/mlops-ci/environment/bin/python -I -m mlops_ci "$@"\n' > /usr/local/bin/mlops-ci \
    && chmod 0755 /usr/local/bin/mlops-ci

# No USER: CI systems set their own, and some must begin as root. Nothing above is written to again, so any will do that
# has a name; 1000 has one.
ENTRYPOINT ["mlops-ci"]
