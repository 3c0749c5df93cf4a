//! Many calls leave memory where it was.

use serde_json::json;
use tale_api::{CreateEnv, Events, GenerateRequest, Message};

use crate::built;

/// Resident memory of this process in bytes.
#[cfg(target_os = "linux")]
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes * 1024
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn three_hundred_thousand_calls_leave_memory_where_it_was() {
    let plugin = built::plugin();
    let llm = plugin
        .llm("instant", json!({}), &CreateEnv::default())
        .await
        .unwrap();
    let mut request = GenerateRequest::new(vec![Message::user("x".repeat(2048))]);
    request.max_tokens = Some(1);
    let before = {
        for _ in 0..20_000 {
            llm.generate(request.clone(), Events::to(|_| {}))
                .await
                .unwrap();
        }
        resident()
    };
    for _ in 0..300_000 {
        llm.generate(request.clone(), Events::to(|_| {}))
            .await
            .unwrap();
    }
    let grown = resident().saturating_sub(before);
    // A leak of a single word a call would be 2.4 MB.
    assert!(grown < 2 << 20, "{grown} bytes more");
    assert_eq!(plugin.counts().outgoing, 0);
}
