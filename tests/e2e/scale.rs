//! Memory is bounded by concurrency, not by the data set.

#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_with_the_data_set() {
    use crate::support::Place;

    let peak = |n: usize| -> u64 {
        let place = Place::with_constant(n, 0);
        let only = "evaluate.methods=[\"vanilla-cot\"]";
        let mut child = place
            .command(&["run", "m.toml", "--quiet", "--set", only])
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let status = format!("/proc/{}/status", child.id());
        let mut peak = 0;
        while child.try_wait().unwrap().is_none() {
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find(|l| l.starts_with("VmHWM:"));
            let kib = line
                .and_then(|l| l.split_whitespace().nth(1))
                .and_then(|n| n.parse().ok());
            peak = peak.max(kib.unwrap_or(0));
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert!(child.wait().unwrap().success());
        peak
    };
    let (small, large) = (peak(1_000), peak(20_000));
    assert!(large < 150 * 1024, "{large} KiB at 20,000 questions");
    assert!(
        large < small + 40 * 1024,
        "{small} KiB at 1,000 questions, {large} at 20,000"
    );
}
