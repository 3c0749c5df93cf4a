use super::*;
use crate::diagnostics::Color;
#[test]
fn look() {
    let base = std::fs::read_to_string("/tmp/e/bad.toml").unwrap();
    let (l, d) = from_bytes(Path::new("bad.toml"), base.as_bytes(), &["llm.temprature=3".into(), "llm.optiosn.api_key=sk-123".into(), "seed.x=3".into(), "dataset.plugin=[1".into(), "novalue".into(), "llm.stop.0=3".into(), "estimator.fallback={budget=0}".into()]);
    println!("{}\n{:?}", d.render(Color::Never), l.is_some());
    println!("{}", serde_json::to_string_pretty(&schema()).unwrap());
    println!("{}", d.render(Color::Always));
}
