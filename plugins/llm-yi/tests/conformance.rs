//! The built library against the suite that every plugin passes, with the test server behind it.

use tale_api::{conformance::library, host::Plugin};
use tale_chat_completions::testing;

fn plugin() -> Plugin {
    library("tale-llm-yi").expect("the library of this package loads")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loaded_library_keeps_every_rule() {
    testing::keeps_every_rule(&plugin(), "yi").await;
}

#[tokio::test]
async fn the_loaded_library_asks_nothing_before_it_is_asked() {
    testing::asks_nothing_before_it_is_asked(&plugin(), "yi").await;
}
