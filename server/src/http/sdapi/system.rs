//! The state of the machine.

use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value, json};
use x0_openapi::{SdapiEmpty, SdapiMemory};

use crate::app::AppState;
use crate::device::CPU;

/// Memory
#[utoipa::path(
    get,
    path = "/sdapi/v1/memory",
    operation_id = "sdapiMemory",
    tag = "AUTOMATIC1111",
    responses((status = 200, description = "The machine's memory", body = SdapiMemory)),
)]
pub async fn memory(State(app): State<AppState>) -> Json<SdapiMemory> {
    let mut ram = Map::new();
    // Where the system does not say, there is nothing to tell.
    if let Ok(text) = tokio::fs::read_to_string("/proc/meminfo").await
        && let (Some(total), Some(free)) = (bytes_of(&text, "MemTotal:"), bytes_of(&text, "MemAvailable:"))
    {
        ram.insert("free".to_owned(), json!(free));
        ram.insert("used".to_owned(), json!(total.saturating_sub(free)));
        ram.insert("total".to_owned(), json!(total));
    }
    let cuda = Map::from_iter([("error".to_owned(), Value::from(no_cuda(app.metrics.device())))]);
    Json(SdapiMemory { ram, cuda })
}

/// Why nothing is told of a GPU's memory. AUTOMATIC1111 says `unavailable` where it cannot tell.
fn no_cuda(device: &str) -> &'static str {
    if device == CPU { "pictures are made on the CPU" } else { "unavailable" }
}

/// A line of `/proc/meminfo`, which counts in KiB.
fn bytes_of(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// Look for models again
///
/// The models are those that were there when the server was started.
#[utoipa::path(
    post,
    path = "/sdapi/v1/refresh-checkpoints",
    operation_id = "sdapiRefreshCheckpoints",
    tag = "AUTOMATIC1111",
    responses((status = 200, description = "The list is as it was", body = SdapiEmpty)),
)]
pub async fn refresh_checkpoints() -> Json<SdapiEmpty> {
    Json(SdapiEmpty {})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_is_not_called_a_cpu() {
        assert_eq!(no_cuda("cpu"), "pictures are made on the CPU");
        assert_eq!(no_cuda("cuda:0 NVIDIA H100 80GB HBM3"), "unavailable");
    }

    #[test]
    fn memory_is_counted_in_bytes() {
        let text = "MemTotal:       24675872 kB\nMemFree:   1 kB\nMemAvailable:   20000 kB\n";
        assert_eq!(bytes_of(text, "MemAvailable:"), Some(20_480_000));
        assert_eq!(bytes_of(text, "MemOther:"), None);
    }
}
