//! What happens where memory ends: libtorch on a CPU does not say so, hence the failure is made.

use std::sync::{Arc, atomic::AtomicUsize};

use tale_api::{Completion, Events, FinishReason, GenerateRequest, Message};
use tale_local_llm::{Drawing, Pending, ticket};
use tale_weights::{Model, testing::write_tiny_model};

use super::*;
use crate::engine::Busy;

/// A tiny model, in a folder that must live as long.
fn setup(slots: usize) -> (Setup, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    write_tiny_model(dir.path()).unwrap();
    let model = Model::open(dir.path()).unwrap();
    let vocabulary = Arc::new(model.vocabulary().unwrap());
    let setup = Setup {
        model,
        vocabulary,
        adapters: Vec::new(),
        slots,
        context: 128,
        threads: Some(1),
        batch: 256,
        prefix_cache: true,
        aligned: false,
    };
    (setup, dir)
}

fn job(setup: &Setup, question: &str) -> (Job, Pending) {
    let request = GenerateRequest {
        max_tokens: Some(20),
        ..GenerateRequest::new(vec![Message::user(question)])
    };
    let (ticket, pending) = ticket(&request, false);
    let job = Job {
        prompt: setup.vocabulary.encode(question).unwrap(),
        drawing: Drawing {
            temperature: 1.0,
            seed: 7,
            ..Drawing::GREEDY
        },
        ticket,
        busy: Busy::at(&Arc::new(AtomicUsize::new(0))),
    };
    (job, pending)
}

/// Answers four questions; `disturb` is called with the worker before each step.
fn answers(setup: &Setup, disturb: impl Fn(&mut Worker<'_>)) -> Vec<Result<Completion>> {
    let model = load(setup, Device::Cpu).unwrap();
    let counters = Counters::default();
    let mut worker = Worker::new(&model, setup, &counters);
    let mut replies = Vec::new();
    for question in ["one?", "and two?", "3", "four, then"] {
        let (job, answered) = job(setup, question);
        worker.queue.push_back(job);
        replies.push(answered);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    while !worker.is_idle() {
        worker.step += 1;
        disturb(&mut worker);
        worker.admit();
        worker.advance();
    }
    replies
        .into_iter()
        .map(|pending| runtime.block_on(pending.wait(&Events::ignored())))
        .collect()
}

#[test]
fn where_memory_ends_fewer_go_on_together_and_no_text_is_lost() {
    let (setup, _dir) = setup(4);
    let undisturbed = answers(&setup, |_| {});
    let disturbed = answers(&setup, |worker| {
        if worker.step == 9 {
            worker.retreat(&"CUDA out of memory. Tried to allocate 2.00 MiB".to_owned());
            assert_eq!((worker.most, worker.waiting.len()), (2, 4));
            assert_eq!(worker.cache.bytes(), 0);
        }
        assert!(worker.step < 9 || worker.busy() <= 2);
    });
    for (a, b) in undisturbed.into_iter().zip(disturbed) {
        let (a, b) = (a.unwrap(), b.unwrap());
        assert_eq!(
            (a.usage.unwrap().output_tokens, a.finish_reason),
            (b.usage.unwrap().output_tokens, b.finish_reason)
        );
        // The same logits but for the order of sums, so the same text but for a rare draw.
        assert_eq!(a.text, b.text);
        assert_eq!(a.finish_reason, FinishReason::Length);
    }
}

#[test]
fn a_request_that_does_not_fit_alone_fails_and_says_what_to_lower() {
    let (setup, _dir) = setup(1);
    let outcomes = answers(&setup, |worker| {
        if worker.busy() > 0 {
            worker.room = BLOCK;
            worker.retreat(&"not enough memory: you tried to allocate 1 bytes".to_owned());
        }
    });
    for outcome in outcomes {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind, ErrorKind::ResourceExhausted);
        assert!(
            error
                .hint
                .as_deref()
                .unwrap_or_default()
                .contains("`context`")
        );
    }
}

#[test]
fn another_failure_ends_the_requests_under_way_with_its_words() {
    let (setup, _dir) = setup(4);
    let outcomes = answers(&setup, |worker| {
        if worker.step == 3 {
            worker.retreat(&"CUDA error: an illegal memory access".to_owned());
        }
    });
    for outcome in outcomes {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Internal);
        assert!(error.causes[0].contains("illegal"), "{error:?}");
    }
}
