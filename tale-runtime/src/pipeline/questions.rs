//! Which questions of a data set a run asks, streamed in pages.

use std::{collections::BinaryHeap, iter::Peekable, ops::Range, sync::Arc, vec};

use tale_api::{Dataset, DatasetInfo, PageRequest, Question};

use super::PipelineError;

/// Questions asked for at a time. Large enough that a page's cost does not show, small enough that
/// a page of long questions is nothing to hold.
const PAGE: u32 = 128;

/// Which questions of a data set are asked: a range, or a draw from that range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Position of the first question, from 0.
    pub offset: u64,
    /// The most questions from there on; all that follow if absent.
    pub limit: Option<u64>,
    /// Only so many of them.
    pub draw: Option<Draw>,
}

/// Questions drawn without replacement, asked in the data set's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// How many.
    pub n: u64,
    /// Draws the same questions for the same seed, on every machine.
    pub seed: u64,
}

impl Selection {
    /// How many questions this is of a data set of `size`.
    #[must_use]
    pub fn count(&self, size: Option<u64>) -> Option<u64> {
        let range = self.range(size?);
        let len = range.end - range.start;
        Some(self.draw.map_or(len, |draw| draw.n.min(len)))
    }

    /// The positions of the range in a data set of `size`.
    fn range(&self, size: u64) -> Range<u64> {
        let start = self.offset.min(size);
        let end = self
            .limit
            .map_or(size, |limit| start.saturating_add(limit).min(size));
        start..end
    }
}

/// A data set as a run uses it.
#[derive(Clone)]
pub struct DatasetSetup {
    /// Its name in results.
    pub label: String,
    /// The data set.
    pub dataset: Arc<dyn Dataset>,
    /// What it says of itself.
    pub info: DatasetInfo,
    /// Which of its questions.
    pub selection: Selection,
}

impl DatasetSetup {
    /// Starts reading the selected questions.
    pub async fn questions(&self) -> Result<Questions<'_>, PipelineError> {
        let wanted = match (self.selection.draw, self.info.size) {
            (None, _) => Wanted::Range(self.selection.range(u64::MAX)),
            (Some(draw), Some(size)) => Wanted::drawn(draw, self.selection.range(size)),
            (Some(draw), None) => Wanted::drawn(draw, self.selection.range(self.count().await?)),
        };
        Ok(Questions {
            setup: self,
            wanted,
            position: 0,
            page: Vec::new().into_iter(),
            cursor: None,
            ended: false,
        })
    }

    async fn count(&self) -> Result<u64, PipelineError> {
        let (mut count, mut cursor) = (0, None);
        loop {
            let page = self.page(cursor).await?;
            count += page.questions.len() as u64;
            cursor = page.next;
            if cursor.is_none() {
                return Ok(count);
            }
        }
    }

    async fn page(&self, cursor: Option<String>) -> Result<tale_api::Page, PipelineError> {
        self.dataset
            .page(PageRequest {
                cursor,
                limit: PAGE,
            })
            .await
            .map_err(|error| PipelineError::Dataset {
                dataset: self.label.clone(),
                error,
            })
    }
}

enum Wanted {
    Range(Range<u64>),
    Positions(Peekable<vec::IntoIter<u64>>),
}

impl Wanted {
    fn drawn(draw: Draw, range: Range<u64>) -> Self {
        Self::Positions(draw.positions(range).into_iter().peekable())
    }
}

/// The selected questions of a data set, in its order; one page is in memory.
pub struct Questions<'a> {
    setup: &'a DatasetSetup,
    wanted: Wanted,
    position: u64,
    page: vec::IntoIter<Question>,
    cursor: Option<String>,
    ended: bool,
}

impl Questions<'_> {
    /// The next question with its position in the data set.
    pub async fn next(&mut self) -> Result<Option<(u64, Question)>, PipelineError> {
        loop {
            if self.is_past_the_last() {
                return Ok(None);
            }
            let Some(question) = self.page.next() else {
                if self.ended {
                    return Ok(None);
                }
                let page = self.setup.page(self.cursor.take()).await?;
                self.ended = page.next.is_none();
                self.cursor = page.next;
                self.page = page.questions.into_iter();
                continue;
            };
            let position = self.position;
            self.position += 1;
            if self.takes(position) {
                return Ok(Some((position, question)));
            }
        }
    }

    fn is_past_the_last(&mut self) -> bool {
        match &mut self.wanted {
            Wanted::Range(range) => self.position >= range.end,
            Wanted::Positions(positions) => positions.peek().is_none(),
        }
    }

    fn takes(&mut self, position: u64) -> bool {
        match &mut self.wanted {
            Wanted::Range(range) => range.contains(&position),
            Wanted::Positions(positions) => positions.next_if_eq(&position).is_some(),
        }
    }
}

impl Draw {
    /// The drawn positions, sorted: those whose hash under the seed is smallest. It needs memory for
    /// `n` positions only, and does not change with the version of a random number generator.
    fn positions(self, range: Range<u64>) -> Vec<u64> {
        let n = usize::try_from(self.n).unwrap_or(usize::MAX);
        let mut smallest = BinaryHeap::new();
        for position in range {
            smallest.push((mix(self.seed ^ mix(position)), position));
            if smallest.len() > n {
                smallest.pop();
            }
        }
        let mut positions: Vec<u64> = smallest.into_iter().map(|(_, position)| position).collect();
        positions.sort_unstable();
        positions
    }
}

/// The finaliser of `SplitMix64` (Steele, Lea and Flood, "Fast splittable pseudorandom number
/// generators", OOPSLA 2014).
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(n: u64, seed: u64, size: u64) -> Vec<u64> {
        Draw { n, seed }.positions(0..size)
    }

    #[test]
    fn a_draw_is_of_the_asked_size_sorted_and_without_repeat() {
        let drawn = draw(50, 1024, 1319);
        assert_eq!(drawn.len(), 50);
        assert!(drawn.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(drawn.iter().all(|&position| position < 1319));
    }

    #[test]
    fn a_draw_depends_on_the_seed_and_on_nothing_else() {
        assert_eq!(draw(5, 1024, 1319), draw(5, 1024, 1319));
        assert_ne!(draw(5, 1024, 1319), draw(5, 1025, 1319));
    }

    #[test]
    fn a_larger_draw_contains_the_smaller_one() {
        let (small, large) = (draw(10, 7, 1000), draw(100, 7, 1000));
        assert!(small.iter().all(|position| large.contains(position)));
    }

    #[test]
    fn a_draw_of_more_than_there_are_is_all_of_them() {
        assert_eq!(draw(10, 1, 3), [0, 1, 2]);
        assert_eq!(draw(0, 1, 3), [0; 0]);
    }

    #[test]
    fn a_selection_counts_what_is_left() {
        let range = |offset, limit| Selection {
            offset,
            limit,
            draw: None,
        };
        assert_eq!(range(0, Some(24)).count(Some(1319)), Some(24));
        assert_eq!(range(1310, Some(24)).count(Some(1319)), Some(9));
        assert_eq!(range(2000, None).count(Some(1319)), Some(0));
        assert_eq!(range(0, Some(24)).count(None), None);
        let drawn = Selection {
            limit: Some(100),
            draw: Some(Draw { n: 200, seed: 1 }),
            offset: 0,
        };
        assert_eq!(drawn.count(Some(1319)), Some(100));
    }
}
