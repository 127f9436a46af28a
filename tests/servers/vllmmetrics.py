"""What vLLM 0.32 answers to GET /metrics, as far as it can lead a reader astray."""

METRICS = """\
# HELP python_gc_objects_collected_total Objects collected during gc
# TYPE python_gc_objects_collected_total counter
python_gc_objects_collected_total{{generation="0"}} 12662.0
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{{engine="0",model_name="Qwen3-0.6B"}} {running:.1f}
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{{engine="0",model_name="Qwen3-0.6B"}} {waiting:.1f}
# HELP vllm:num_requests_waiting_by_reason Number of waiting requests by reason.
# TYPE vllm:num_requests_waiting_by_reason gauge
vllm:num_requests_waiting_by_reason{{engine="0",model_name="Qwen3-0.6B",reason="capacity"}} 900.0
vllm:num_requests_waiting_by_reason{{engine="0",model_name="Qwen3-0.6B",reason="deferred"}} 0.0
# HELP vllm:kv_cache_usage_perc KV-cache usage. 1 means 100 percent usage.
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{{engine="0",model_name="Qwen3-0.6B"}} 0.9987
# HELP vllm:request_success_total Count of successfully processed requests.
# TYPE vllm:request_success_total counter
vllm:request_success_total{{engine="0",finished_reason="stop",model_name="Qwen3-0.6B"}} 160.0
# HELP vllm:request_queue_time_seconds Histogram of time spent in WAITING phase for request.
# TYPE vllm:request_queue_time_seconds histogram
vllm:request_queue_time_seconds_bucket{{engine="0",le="+Inf",model_name="Qwen3-0.6B"}} 164.0
vllm:request_queue_time_seconds_count{{engine="0",model_name="Qwen3-0.6B"}} 164.0
vllm:request_queue_time_seconds_sum{{engine="0",model_name="Qwen3-0.6B"}} 42.5
"""


def vllm_metrics(running: int, waiting: int) -> str:
    """Return the text of a server with so many requests at work and in its queue."""
    return METRICS.format(running=running, waiting=waiting)
