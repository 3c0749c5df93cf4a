//! The forward pass.
//!
//! Shapes: B batch, T positions, E hidden width, H query heads, G key and value heads, D width of a
//! head, F feed-forward width, V vocabulary, R rank of an adapter.

use tale_api::Result;
use tale_weights::{Architecture, Config, Model};
use tch::{Device, Kind, Tensor};

use crate::{lora::Lora, tensors::to_tensor};

/// y = x Wᵀ + b
#[derive(Debug)]
pub(crate) struct Linear {
    pub(crate) name: String,
    /// out × in
    pub(crate) weight: Tensor,
    /// out
    pub(crate) bias: Option<Tensor>,
}

/// Projections of the same input that lie one below the other in memory, so that a pass without
/// gradients computes them with one product. Each part is a view of the whole.
#[derive(Debug)]
pub(crate) struct Joined<const N: usize> {
    /// Σ out × in
    pub(crate) weight: Tensor,
    /// Σ out
    pub(crate) bias: Option<Tensor>,
    pub(crate) parts: [Linear; N],
}

impl<const N: usize> Joined<N> {
    fn new(parts: [Linear; N]) -> Self {
        let weights: Vec<&Tensor> = parts.iter().map(|part| &part.weight).collect();
        let weight = Tensor::cat(&weights, 0);
        let bias = parts.iter().any(|part| part.bias.is_some()).then(|| {
            let of = |part: &Linear| match &part.bias {
                Some(bias) => bias.shallow_clone(),
                None => part.weight.zeros_like().sum_dim_intlist(1, false, None),
            };
            Tensor::cat(&parts.iter().map(of).collect::<Vec<_>>(), 0)
        });
        let mut from = 0;
        let parts = parts.map(|part| {
            let rows = part.weight.size()[0];
            let view = Linear {
                weight: weight.narrow(0, from, rows),
                ..part
            };
            from += rows;
            view
        });
        Self {
            weight,
            bias,
            parts,
        }
    }
}

impl Linear {
    /// With an adapter: y = x Wᵀ + b + α/R · (x Aᵀ) Bᵀ.
    fn forward(&self, x: &Tensor, lora: Option<&Lora>) -> Tensor {
        let y = x.linear(&self.weight, self.bias.as_ref()); // … out
        let Some((lora, m)) = lora.and_then(|lora| Some((lora, lora.matrices.get(&self.name)?)))
        else {
            return y;
        };
        let cast = |matrix: &Tensor| matrix.to_kind(x.kind());
        let low = x.linear(&cast(&m.a), None::<&Tensor>); // … R
        y + low.linear(&cast(&m.b), None::<&Tensor>) * lora.scale
    }
}

/// y = x / √(mean x² + ε) · w, the root in `f32` also on `bf16`.
#[derive(Debug)]
pub(crate) struct Norm {
    /// E
    pub(crate) weight: Tensor,
    pub(crate) eps: f64,
}

impl Norm {
    fn forward(&self, x: &Tensor) -> Tensor {
        let wide = x.to_kind(Kind::Float);
        let mean = wide.square().mean_dim(-1, true, Kind::Float); // B T 1
        (wide * (mean + self.eps).rsqrt()).to_kind(x.kind()) * &self.weight // B T E
    }
}

#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) attention_norm: Norm,
    /// Queries, keys, values.
    pub(crate) qkv: Joined<3>,
    pub(crate) o: Linear,
    pub(crate) mlp_norm: Norm,
    /// Gate and what it lets through.
    pub(crate) gate_up: Joined<2>,
    pub(crate) down: Linear,
}

/// What a forward pass reads.
#[derive(Debug)]
pub struct Tokens {
    /// B × T. Sequences shorter than T are filled up at their ends, where causality hides the filling.
    pub ids: Tensor,
    /// B × T: the place of each token in its text.
    pub positions: Tensor,
    /// B × 1 × T × T, true where a row may look at a column; absent: at itself and all before it.
    pub mask: Option<Tensor>,
}

/// Angles and mask, made once a pass.
struct Turn<'a> {
    /// B × 1 × T × D
    cos: Tensor,
    /// B × 1 × T × D
    sin: Tensor,
    mask: Option<&'a Tensor>,
}

impl Turn<'_> {
    /// x cos + (−x₂, x₁) sin, where x₁ and x₂ are the halves of a head.
    fn apply(&self, x: &Tensor) -> Tensor {
        let halves = x.chunk(2, -1); // B · T D/2
        let turned = Tensor::cat(&[-&halves[1], halves[0].shallow_clone()], -1); // B · T D
        x * &self.cos + turned * &self.sin
    }
}

/// `f32` on a CPU, which computes `bf16` slower; `bf16` on a card.
fn kind(device: Device) -> Kind {
    if device.is_cuda() {
        Kind::BFloat16
    } else {
        Kind::Float
    }
}

/// A model on a device. Its weights are frozen; adapters are handed to the passes.
#[derive(Debug)]
pub struct Llama {
    config: Config,
    device: Device,
    pub(crate) kind: Kind,
    /// V × E
    pub(crate) embedding: Tensor,
    pub(crate) blocks: Vec<Block>,
    pub(crate) norm: Norm,
    /// V × E
    head: Tensor,
    /// Angles a position, D/2 of them, `f32`.
    pub(crate) frequencies: Tensor,
}

impl Llama {
    /// Reads all weights: `f32` on a CPU (which computes `bf16` slower), `bf16` on a card.
    ///
    /// # Errors
    /// [`InvalidData`](tale_api::ErrorKind::InvalidData): a tensor is missing or of another shape.
    pub fn load(model: &Model, device: Device) -> Result<Self> {
        let kind = kind(device);
        Self::build(
            model.config().clone(),
            device,
            |name| model.has(name),
            |name, shape| Ok(to_tensor(&model.tensor(name, shape)?, kind, device)),
        )
    }

    /// A model of this shape with random weights, made where it computes: for measurements of models
    /// that need not be fetched.
    ///
    /// # Errors
    /// None: every tensor has the shape that is asked for.
    pub fn random(config: Config, device: Device) -> Result<Self> {
        let kind = kind(device);
        let (is_tied, is_qwen) = (config.is_tied, config.architecture == Architecture::Qwen2);
        let has = |name: &str| match name {
            "lm_head.weight" => !is_tied,
            _ => {
                is_qwen
                    && ["q_proj.bias", "k_proj.bias", "v_proj.bias"]
                        .iter()
                        .any(|end| name.ends_with(end))
            }
        };
        Self::build(config, device, has, |_, shape| {
            #[expect(clippy::cast_possible_wrap, reason = "sizes are far below 2^63")]
            let size: Vec<i64> = shape.iter().map(|&size| size as i64).collect();
            Ok(match size.as_slice() {
                [_] => Tensor::ones(size.as_slice(), (kind, device)),
                // As models begin; what is computed with larger ones is no number soon.
                _ => Tensor::randn(size.as_slice(), (kind, device)) * 0.02,
            })
        })
    }

    fn build(
        config: Config,
        device: Device,
        has: impl Fn(&str) -> bool,
        read: impl Fn(&str, &[usize]) -> Result<Tensor>,
    ) -> Result<Self> {
        let kind = kind(device);
        let (e, f, v) = (config.hidden, config.intermediate, config.vocabulary);
        let norm = |name: &str| {
            Ok(Norm {
                weight: read(name, &[e])?,
                eps: config.norm_eps,
            })
        };
        let linear = |name: String, outputs: usize, inputs: usize| -> Result<Linear> {
            let bias = format!("{name}.bias");
            let bias = if has(&bias) {
                Some(read(&bias, &[outputs])?)
            } else {
                None
            };
            Ok(Linear {
                weight: read(&format!("{name}.weight"), &[outputs, inputs])?,
                bias,
                name,
            })
        };
        let (queries, keys) = (
            config.heads * config.head_width,
            config.kv_heads * config.head_width,
        );
        let block = |layer: usize| -> Result<Block> {
            let at = |part: &str| format!("model.layers.{layer}.{part}");
            Ok(Block {
                attention_norm: norm(&at("input_layernorm.weight"))?,
                qkv: Joined::new([
                    linear(at("self_attn.q_proj"), queries, e)?,
                    linear(at("self_attn.k_proj"), keys, e)?,
                    linear(at("self_attn.v_proj"), keys, e)?,
                ]),
                o: linear(at("self_attn.o_proj"), e, queries)?,
                mlp_norm: norm(&at("post_attention_layernorm.weight"))?,
                gate_up: Joined::new([
                    linear(at("mlp.gate_proj"), f, e)?,
                    linear(at("mlp.up_proj"), f, e)?,
                ]),
                down: linear(at("mlp.down_proj"), e, f)?,
            })
        };
        let embedding = read("model.embed_tokens.weight", &[v, e])?;
        let head = if config.is_tied || !has("lm_head.weight") {
            embedding.shallow_clone()
        } else {
            read("lm_head.weight", &[v, e])?
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "Transformers turn by f32 angles too"
        )]
        let frequencies: Vec<f32> = config.frequencies().iter().map(|&f| f as f32).collect();
        Ok(Self {
            blocks: (0..config.layers).map(block).collect::<Result<_>>()?,
            norm: norm("model.norm.weight")?,
            frequencies: Tensor::from_slice(&frequencies).to_device(device),
            config,
            device,
            kind,
            embedding,
            head,
        })
    }

    /// Adds an adapter to the weights for good, `strength` times: what follows costs no more than the
    /// model alone.
    pub fn merge(&mut self, lora: &Lora, strength: f64) {
        tch::no_grad(|| {
            for block in &mut self.blocks {
                let joined = block.qkv.parts.iter_mut().chain(&mut block.gate_up.parts);
                for linear in joined.chain([&mut block.o, &mut block.down]) {
                    if let Some(m) = lora.matrices.get(&linear.name) {
                        let product = m.b.matmul(&m.a) * (lora.scale * strength); // out in
                        let _ = linear.weight.g_add_(&product.to_kind(self.kind));
                    }
                }
            }
        });
    }

    /// Its shape.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where it computes.
    #[must_use]
    pub fn device(&self) -> Device {
        self.device
    }

    /// The vocabulary projection, V × E.
    pub fn head(&self) -> &Tensor {
        &self.head
    }

    /// Blocks.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.blocks.len()
    }

    /// Hidden states after the last norm, B × T × E.
    pub fn hidden(&self, tokens: &Tokens, lora: Option<&Lora>) -> Tensor {
        let x = (0..self.depth()).fold(self.embed(tokens), |x, layer| {
            self.block(layer, &x, tokens, lora)
        });
        self.norm.forward(&x)
    }

    /// Logits of hidden states: … × V, `f32`.
    pub fn logits(&self, hidden: &Tensor) -> Tensor {
        hidden.matmul(&self.head.tr()).to_kind(Kind::Float)
    }

    /// What the first block reads, B × T × E.
    pub fn embed(&self, tokens: &Tokens) -> Tensor {
        Tensor::embedding(&self.embedding, &tokens.ids, -1, false, false)
    }

    /// What the last block's output becomes, B × T × E.
    pub fn normed(&self, x: &Tensor) -> Tensor {
        self.norm.forward(x)
    }

    /// One block, B × T × E to the same.
    pub fn block(&self, layer: usize, x: &Tensor, tokens: &Tokens, lora: Option<&Lora>) -> Tensor {
        let block = &self.blocks[layer];
        let turn = self.turn(tokens);
        let x = x + self.attention(block, &block.attention_norm.forward(x), &turn, lora);
        let n = block.mlp_norm.forward(&x);
        let [gate, up] = &block.gate_up.parts;
        let inner = gate.forward(&n, lora).silu() * up.forward(&n, lora); // B T F
        x + block.down.forward(&inner, lora) // B T E
    }

    #[expect(clippy::many_single_char_names, reason = "the formula's letters")]
    fn attention(&self, block: &Block, x: &Tensor, turn: &Turn<'_>, lora: Option<&Lora>) -> Tensor {
        let (b, t, _) = x.size3().expect("hidden states have three dimensions");
        #[expect(clippy::cast_possible_wrap, reason = "widths are small")]
        let d = self.config.head_width as i64;
        let heads = |linear: &Linear| linear.forward(x, lora).view([b, t, -1, d]).transpose(1, 2);
        let [q, k, v] = &block.qkv.parts;
        let q = turn.apply(&heads(q)); // B H T D
        let k = turn.apply(&heads(k)); // B G T D
        let v = heads(v); // B G T D
        // softmax(q kᵀ / √D) v; each key head serves H/G query heads.
        let attended = Tensor::scaled_dot_product_attention(
            &q,
            &k,
            &v,
            turn.mask,
            0.0,
            turn.mask.is_none(),
            None,
            true,
        ); // B H T D
        block
            .o
            .forward(&attended.transpose(1, 2).reshape([b, t, -1]), lora) // B T E
    }

    fn turn<'a>(&self, tokens: &'a Tokens) -> Turn<'a> {
        let angles = tokens.positions.to_kind(Kind::Float).unsqueeze(-1) * &self.frequencies; // B T D/2
        let angles = Tensor::cat(&[&angles, &angles], -1).unsqueeze(1); // B 1 T D
        Turn {
            cos: angles.cos().to_kind(self.kind),
            sin: angles.sin().to_kind(self.kind),
            mask: tokens.mask.as_ref(),
        }
    }
}
