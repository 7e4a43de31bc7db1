FROM python:3.12-slim

# For a GPU: --build-arg TORCH="torch==2.13.0" is PyPI's build with CUDA.
ARG TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"

RUN useradd --create-home --uid 1000 painter && install --directory --owner painter /data
WORKDIR /home/painter/plein-air

# torch in a layer of its own: the largest by far, and the one that changes least.
RUN pip install --no-cache-dir $TORCH
COPY requirements.txt .
RUN pip install --no-cache-dir --requirement requirements.txt

COPY LICENSE app.py ./
COPY app app
COPY assets assets
COPY models models

# The studio reads its files and writes to /data and /tmp alone, so they stay root's.
USER painter
ENV GRADIO_SERVER_NAME=0.0.0.0 \
    GRADIO_SERVER_PORT=7860 \
    HF_HOME=/data/huggingface \
    PLEIN_AIR_DATA=/data \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['GRADIO_SERVER_PORT'] + '/status', timeout=4)"]
CMD ["python", "app.py"]
