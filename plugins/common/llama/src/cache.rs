//! Keys and values of the texts under way.
//!
//! Shapes: S lanes, G key and value heads, C tokens of room, D width of a head.
//!
//! A lane holds one text. Keys and values stay as few as the model has (grouped-query attention
//! reads a head several times rather than keep copies of it). Room grows by blocks of tokens and
//! by lanes as they are needed, so that an idle engine holds little; the rows of a freed lane are
//! written over by whoever gets it next.

use tch::{Kind, Tensor, no_grad};

use crate::model::Llama;

/// Tokens by which a lane's room grows.
pub const BLOCK: usize = 64;

/// Keys and values of every block of a model, by lane.
#[derive(Debug)]
pub struct Cache {
    /// Per block S × 2G × C × D, keys before values. Never holds a NaN: what is masked is multiplied
    /// by zero, not left out.
    pub(crate) stores: Vec<Tensor>,
    /// D cosines a position, `limit` × D.
    pub(crate) cos: Tensor,
    /// D sines a position; the first half negated, as the rotation has it.
    pub(crate) sin: Tensor,
    /// Tokens that each lane holds.
    lengths: Vec<usize>,
    limit: usize,
}

impl Cache {
    /// An empty cache with at most `lanes` texts of at most `limit` tokens.
    #[must_use]
    #[expect(clippy::cast_possible_wrap, reason = "lengths are small")]
    pub fn new(model: &Llama, lanes: usize, limit: usize) -> Self {
        no_grad(|| {
            let places = Tensor::arange(limit as i64, (Kind::Float, model.device()));
            let angles = places.unsqueeze(1) * &model.frequencies; // limit D/2
            let (cos, sin) = (angles.cos(), angles.sin());
            let config = model.config();
            let shape = [0, 2 * config.kv_heads as i64, 0, config.head_width as i64];
            let store = || Tensor::zeros(shape, (model.kind, model.device()));
            Self {
                stores: (0..model.depth()).map(|_| store()).collect(),
                cos: Tensor::cat(&[&cos, &cos], 1).to_kind(model.kind),
                sin: Tensor::cat(&[-&sin, sin], 1).to_kind(model.kind),
                lengths: vec![0; lanes],
                limit,
            }
        })
    }

    /// Lanes there can be.
    #[must_use]
    pub fn lanes(&self) -> usize {
        self.lengths.len()
    }

    /// The most tokens of a lane.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Tokens that a lane holds.
    #[must_use]
    pub fn length(&self, lane: usize) -> usize {
        self.lengths[lane]
    }

    /// Bytes that are allocated.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let of = |store: &Tensor| store.numel() * store.kind().elt_size_in_bytes();
        self.stores.iter().map(of).sum()
    }

    /// Forgets what a lane holds from token `length` on.
    pub fn truncate(&mut self, lane: usize, length: usize) {
        self.lengths[lane] = self.lengths[lane].min(length);
    }

    /// Gives lane `to` the first `length` tokens of lane `from`, in place of what it holds.
    ///
    /// # Panics
    /// `from` holds fewer; libtorch has no memory.
    #[expect(clippy::cast_possible_wrap, reason = "lengths are small")]
    pub fn copy(&mut self, from: usize, to: usize, length: usize) {
        assert!(
            length <= self.lengths[from],
            "a lane is copied past its end"
        );
        if from != to && length > 0 {
            self.reserve(to + 1, length);
            no_grad(|| {
                for store in &self.stores {
                    let part = |lane: usize| store.get(lane as i64).narrow(1, 0, length as i64);
                    part(to).copy_(&part(from));
                }
            });
        }
        self.lengths[to] = length;
    }

    /// Frees what no lane needs any more.
    pub fn clear(&mut self) {
        for store in &mut self.stores {
            *store = store.narrow(0, 0, 0).narrow(2, 0, 0).copy();
        }
        self.lengths.fill(0);
    }

    pub(crate) fn extend(&mut self, lane: usize, tokens: usize) {
        self.lengths[lane] += tokens;
    }

    /// Makes room for `tokens` tokens in each of the first `lanes` lanes.
    ///
    /// A store at a time, and each knows its own room: where memory ends in the middle, what is there
    /// is still right.
    #[expect(clippy::cast_possible_wrap, reason = "lengths are small")]
    pub(crate) fn reserve(&mut self, lanes: usize, tokens: usize) {
        let tokens = tokens.next_multiple_of(BLOCK) as i64;
        let most = self.limit.next_multiple_of(BLOCK) as i64;
        no_grad(|| {
            for store in &mut self.stores {
                let (s, g, c, d) = store.size4().expect("a store has four dimensions");
                if lanes as i64 <= s && tokens <= c {
                    continue;
                }
                // A quarter more than there is, so that a long text is not copied at every block.
                let quarter = c / 4 / BLOCK as i64 * BLOCK as i64;
                let room = if tokens > c {
                    tokens.max(c + quarter).min(most)
                } else {
                    c
                };
                let grown = Tensor::zeros(
                    [s.max(lanes as i64), g, room, d],
                    (store.kind(), store.device()),
                );
                grown.narrow(0, 0, s).narrow(2, 0, c).copy_(store);
                *store = grown;
            }
        });
    }
}
