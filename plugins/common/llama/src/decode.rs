//! The forward pass of generation: new tokens of several texts in one pass, over a [`Cache`].
//!
//! Shapes: R new tokens of all texts, E hidden width, H query heads, G key and value heads, r = H/G,
//! D width of a head, F feed-forward width, V vocabulary, L tokens of the longest text, n texts that
//! get one token each.
//!
//! Hidden states stand in columns (E × R): a product W x of a weight with few columns is up to twice
//! as fast on a CPU as one of few rows with Wᵀ, and weights are read once for all texts. Rows of
//! different texts need no filling: only attention tells them apart. A single column is computed
//! twice, because that is a product of matrices, which MKL does half as fast again as one of a matrix
//! and a vector.

use tch::{Kind, Tensor, no_grad};

use crate::{
    cache::Cache,
    lora::Lora,
    model::{Block, Linear, Llama, Norm},
};

/// New tokens of one text.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// Its lane; each occurs once.
    pub lane: usize,
    /// At least one; they follow what the lane holds.
    pub tokens: &'a [u32],
    /// Whether the logits after the last of them are wanted.
    pub wants_logits: bool,
}

/// A text's share of the rows.
#[derive(Clone, Copy)]
struct Span {
    lane: i64,
    /// Its first row.
    row: i64,
    /// Rows.
    count: i64,
    /// Tokens that the lane held before.
    held: i64,
}

/// What all blocks of a pass share.
struct Pass<'a> {
    /// R × 1 × D
    cos: Tensor,
    /// R × 1 × D
    sin: Tensor,
    /// Texts with one new token each whose lanes are neighbours, in groups; their rows come first.
    together: Vec<Together>,
    /// The others.
    alone: Vec<(Span, Option<Tensor>)>,
    /// Whether the only row is there twice.
    is_doubled: bool,
    lora: Option<&'a Lora>,
}

/// Texts with one new token each, whose lanes are neighbours: attended to together.
struct Together {
    /// The first one's row.
    row: i64,
    first: i64,
    count: i64,
    /// L
    longest: i64,
    /// n: where each one's new token goes.
    places: Tensor,
    /// n: 0, 1, …
    lanes: Tensor,
    /// n × 1 × 1 × L, absent if all are of one length.
    mask: Option<Tensor>,
}

impl Llama {
    /// Computes `pieces` and keeps their keys and values; gives the logits that are wanted, in the
    /// order of the pieces: N × V, `f32`.
    ///
    /// Pieces of one token stand first in the list, in the order of their lanes: those whose lanes
    /// are neighbours are attended to together.
    ///
    /// # Panics
    /// A lane would get more tokens than its limit; libtorch has no memory, after which the lanes
    /// of these pieces hold what they held before.
    pub fn extend(&self, cache: &mut Cache, pieces: &[Piece<'_>], lora: Option<&Lora>) -> Tensor {
        let logits = no_grad(|| self.compute(cache, pieces, lora));
        for piece in pieces {
            cache.extend(piece.lane, piece.tokens.len());
        }
        logits
    }

    #[expect(clippy::cast_possible_wrap, reason = "lengths are small")]
    fn compute(&self, cache: &mut Cache, pieces: &[Piece<'_>], lora: Option<&Lora>) -> Tensor {
        let device = self.device();
        let (mut spans, mut ids, mut places, mut wanted) = (vec![], vec![], vec![], vec![]);
        let (mut lanes, mut longest) = (0, 0);
        for piece in pieces {
            let (held, count) = (cache.length(piece.lane), piece.tokens.len());
            assert!(held + count <= cache.limit(), "a lane gets too long");
            spans.push(Span {
                lane: piece.lane as i64,
                row: ids.len() as i64,
                count: count as i64,
                held: held as i64,
            });
            ids.extend(piece.tokens.iter().map(|&id| i64::from(id)));
            places.extend((held..held + count).map(|place| place as i64));
            if piece.wants_logits {
                wanted.push(ids.len() as i64 - 1);
            }
            (lanes, longest) = (lanes.max(piece.lane + 1), longest.max(held + count));
        }
        cache.reserve(lanes, longest);
        let is_doubled = ids.len() == 1 && !device.is_cuda();
        if is_doubled {
            ids.push(ids[0]);
            places.push(places[0]);
        }
        let list = |values: &[i64]| Tensor::from_slice(values).to_device(device);
        let places = list(&places);
        let angles = |table: &Tensor| table.index_select(0, &places).unsqueeze(1); // R 1 D
        let (cos, sin) = (angles(&cache.cos), angles(&cache.sin));
        let (mut together, mut alone) = (vec![], vec![]);
        for group in spans.chunk_by(|a, b| a.count + b.count == 2 && a.lane + 1 == b.lane) {
            match group {
                [span] => alone.push(self.alone(span)),
                group => together.push(self.together(group)),
            }
        }
        let pass = Pass {
            cos,
            sin,
            together,
            alone,
            is_doubled,
            lora,
        };
        let x = Tensor::embedding(&self.embedding, &list(&ids), -1, false, false); // R E
        let mut x = x.tr().contiguous(); // E R
        for (block, store) in self.blocks.iter().zip(&cache.stores) {
            self.advance(block, &mut x, store, &pass);
        }
        let count = wanted.len() as i64;
        if count == 1 && !device.is_cuda() {
            wanted.push(wanted[0]);
        }
        let last = x.index_select(1, &list(&wanted)); // E N
        let logits = self.head().matmul(&packed(&columns(&self.norm, &last))); // V N
        let logits = logits.tr().narrow(0, 0, count); // N V
        logits.to_kind(Kind::Float).contiguous()
    }

    /// How texts with one new token each see theirs.
    #[expect(clippy::cast_possible_wrap, reason = "lengths are small")]
    fn together(&self, spans: &[Span]) -> Together {
        let count = spans.len() as i64;
        let held: Vec<i64> = spans.iter().map(|span| span.held).collect();
        let longest = held.iter().max().map_or(1, |most| most + 1);
        let on = (Kind::Int64, self.device());
        let places = Tensor::from_slice(&held).to_device(self.device()); // n
        let mask = held.iter().any(|&h| h + 1 != longest).then(|| {
            let hidden = Tensor::arange(longest, on).gt_tensor(&places.unsqueeze(1)); // n L
            self.forbid(&hidden).view([count, 1, 1, longest])
        });
        Together {
            row: spans[0].row,
            first: spans[0].lane,
            count,
            longest,
            places,
            lanes: Tensor::arange(count, on),
            mask,
        }
    }

    /// How a text alone sees its new tokens: each sees those before it. From an empty lane that is
    /// what the fused kernel does by itself.
    fn alone(&self, span: &Span) -> (Span, Option<Tensor>) {
        let mask = (span.held > 0 && span.count > 1).then(|| {
            let shape = [span.count, span.held + span.count];
            let all = Tensor::ones(shape, (Kind::Bool, self.device()));
            self.forbid(&all.triu(span.held + 1)) // t L
        });
        (*span, mask)
    }

    /// −∞ where `hidden`, else 0: what is added before the softmax.
    fn forbid(&self, hidden: &Tensor) -> Tensor {
        let zero = Tensor::zeros(hidden.size(), (self.kind, self.device()));
        zero.masked_fill(hidden, f64::NEG_INFINITY)
    }

    /// One block on hidden states (E × R), in place.
    fn advance(&self, block: &Block, x: &mut Tensor, store: &Tensor, pass: &Pass<'_>) {
        let lora = pass.lora;
        let n = packed(&columns(&block.attention_norm, x)); // E R
        let qkv = product(&block.qkv.weight, block.qkv.bias.as_ref(), &n); // (H+2G)·D R
        adapt(&block.qkv.parts, &qkv, &n, lora);
        let attended = self.attend(&qkv, store, pass); // R H·D
        add_product(x, &block.o, &attended.tr(), lora);

        let n = packed(&columns(&block.mlp_norm, x)); // E R
        let inner = product(&block.gate_up.weight, block.gate_up.bias.as_ref(), &n); // 2F R
        adapt(&block.gate_up.parts, &inner, &n, lora);
        let halves = inner.chunk(2, 0);
        let (mut gate, up) = (halves[0].shallow_clone(), &halves[1]); // F R
        let inner = packed(&gate.silu_().g_mul_(up)); // F R
        add_product(x, &block.down, &inner, lora);
    }

    /// Turns queries and keys, keeps keys and values, and attends: R × H·D.
    #[expect(
        clippy::cast_possible_wrap,
        clippy::many_single_char_names,
        reason = "widths are small, and the names are the formula's"
    )]
    fn attend(&self, qkv: &Tensor, store: &Tensor, pass: &Pass<'_>) -> Tensor {
        let config = self.config();
        let (d, h, g) = (
            config.head_width as i64,
            config.heads as i64,
            config.kv_heads as i64,
        );
        let heads = qkv.tr().contiguous().view([-1, h + 2 * g, d]); // R H+2G D
        let turned = heads.narrow(1, 0, h + g); // R H+G D
        // x cos + (−x₂, x₁) sin, where x₁ and x₂ are the halves of a head; the sign is in the sines.
        let other = turned.roll([d / 2], [2]) * &pass.sin;
        let turned = (turned * &pass.cos).g_add_(&other); // R H+G D
        let q = turned.narrow(1, 0, h); // R H D
        let k = turned.narrow(1, h, g); // R G D
        let v = heads.narrow(1, h + g, g); // R G D
        let mut parts = Vec::new(); // each with its first row
        for all in &pass.together {
            let lanes = store.narrow(0, all.first, all.count); // n 2G C D
            let at = [Some(&all.lanes), None, Some(&all.places)];
            for (from, new) in [(0, &k), (g, &v)] {
                let mut kept = lanes.narrow(1, from, g); // n G C D
                let _ = kept.index_put_(&at, &new.narrow(0, all.row, all.count), false);
            }
            let seen = lanes.narrow(2, 0, all.longest); // n 2G L D
            // A head of keys serves r heads of queries: they are as many rows of one product.
            let q = q
                .narrow(0, all.row, all.count)
                .view([all.count, g, h / g, d]); // n G r D
            let [k, v] = [0, g].map(|from| seen.narrow(1, from, g)); // n G L D
            let attended = attention(&q, &k, &v, all.mask.as_ref(), false, false); // n G r D
            parts.push((all.row, attended.reshape([all.count, h * d])));
        }
        for (span, mask) in &pass.alone {
            let (end, t) = (span.held + span.count, span.count);
            let lane = store.narrow(0, span.lane, 1); // 1 2G C D
            for (from, new) in [(0, &k), (g, &v)] {
                lane.narrow(1, from, g)
                    .narrow(2, span.held, t)
                    .copy_(&new.narrow(0, span.row, t).transpose(0, 1).unsqueeze(0));
            }
            let seen = lane.narrow(2, 0, end); // 1 2G L D
            let [k, v] = [0, g].map(|from| seen.narrow(1, from, g)); // 1 G L D
            let q = q.narrow(0, span.row, t); // t H D
            let attended = if t == 1 {
                let q = q.view([1, g, h / g, d]); // 1 G r D
                attention(&q, &k, &v, None, false, false) // 1 G r D
            } else {
                let q = q.transpose(0, 1).unsqueeze(0); // 1 H t D
                let attended = attention(&q, &k, &v, mask.as_ref(), mask.is_none(), true);
                attended.squeeze_dim(0).transpose(0, 1) // t H D
            };
            parts.push((span.row, attended.reshape([t, h * d])));
        }
        if parts.len() == 1 {
            let part = parts.swap_remove(0).1;
            let doubled = || part.expand([2, -1], false);
            return if pass.is_doubled { doubled() } else { part };
        }
        parts.sort_by_key(|(row, _)| *row);
        let parts: Vec<Tensor> = parts.into_iter().map(|(_, part)| part).collect();
        Tensor::cat(&parts, 0) // R H·D
    }
}

/// softmax(q kᵀ / √D + mask) v through libtorch's fused kernel.
fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    mask: Option<&Tensor>,
    is_causal: bool,
    is_grouped: bool,
) -> Tensor {
    Tensor::scaled_dot_product_attention(q, k, v, mask, 0.0, is_causal, None, is_grouped)
}

/// The norm of columns (E × R).
fn columns(norm: &Norm, x: &Tensor) -> Tensor {
    let wide = x.to_kind(Kind::Float);
    let mean = wide.square().mean_dim(0, true, Kind::Float); // 1 R
    (wide * (mean + norm.eps).rsqrt()).to_kind(x.kind()) * norm.weight.unsqueeze(1) // E R
}

/// The same columns, each in one piece of memory: MKL reads few columns several times as fast so.
fn packed(x: &Tensor) -> Tensor {
    x.tr().contiguous().tr()
}

/// W x + b
fn product(weight: &Tensor, bias: Option<&Tensor>, x: &Tensor) -> Tensor {
    match bias {
        Some(bias) => bias.unsqueeze(1).addmm(weight, x),
        None => weight.matmul(x),
    }
}

/// y += W x + b, with what an adapter adds.
fn add_product(y: &mut Tensor, linear: &Linear, x: &Tensor, lora: Option<&Lora>) {
    let _ = y.addmm_(&linear.weight, x);
    if let Some(bias) = &linear.bias {
        let _ = y.g_add_(&bias.unsqueeze(1));
    }
    adapt(std::slice::from_ref(linear), y, x, lora);
}

/// Adds α/R · B (A x) to each part's rows of y.
fn adapt(parts: &[Linear], y: &Tensor, x: &Tensor, lora: Option<&Lora>) {
    let Some(lora) = lora else { return };
    let mut from = 0;
    for linear in parts {
        let rows = linear.weight.size()[0];
        if let Some(m) = lora.matrices.get(&linear.name) {
            let cast = |matrix: &Tensor| matrix.to_kind(x.kind());
            let low = cast(&m.a).matmul(x); // R columns
            let mut own = y.narrow(0, from, rows);
            let _ = own.g_add_(&(cast(&m.b).matmul(&low) * lora.scale));
        }
        from += rows;
    }
}
