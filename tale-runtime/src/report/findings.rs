//! One pass over the journal, for the numbers, the figures and the lists of the report.

use super::{
    analysis::{curves::Curve, gather::Gather, searches::Searches},
    column::{Column, Point},
    data,
    plan::Plan,
    post_train, search,
    summary::{BASELINE, Paired, Summary, Totals, matched},
};
use crate::store::{Cell, CellId, Reader, StoreError};

/// The method whose savings the report is about.
pub(super) const SUBJECT: &str = "tale-ep";

/// Values of one method, or questions of one figure, at most: more would not be seen.
const DRAWN: usize = 1_000;

/// Questions in the list of those that cost more than under vanilla CoT, at most.
const LISTED: usize = 100;

/// Everything that the files of the report are made from.
pub(super) struct Findings {
    pub(super) summary: Summary,
    pub(super) plan: Plan,
    pub(super) groups: Vec<Group>,
}

/// The methods of one model on one data set.
pub(super) struct Group {
    pub(super) llm: String,
    pub(super) dataset: String,
    pub(super) cells: Vec<(CellId, Cell)>,
    pub(super) shapes: Vec<Shape>,
    /// TALE-EP against vanilla CoT, where both were run.
    pub(super) saved: Option<Saved>,
    /// Questions under several budgets.
    pub(super) curves: Vec<Curve>,
    /// Output tokens of each searched question, without and with the budget found. Thinned.
    pub(super) searched: Vec<(u32, u32)>,
    /// The highest position any method has come to.
    pub(super) last_position: u64,
}

/// How the tokens of one method are distributed.
pub(super) struct Shape {
    pub(super) method: String,
    /// Output tokens of the answering calls, ascending; evenly thinned where there are many.
    pub(super) tokens: Vec<u32>,
    /// Budget asked and output tokens used, evenly thinned where there are many.
    pub(super) budgets: Vec<(u32, u32)>,
}

/// Question by question, what TALE-EP saved.
pub(super) struct Saved {
    /// Tokens saved, estimates counted, most first; negative where it cost more. Thinned.
    pub(super) curve: Vec<i64>,
    /// Questions compared.
    pub(super) n: u64,
    /// Those among them that cost more.
    pub(super) dearer: u64,
    /// The worst of these, worst first.
    pub(super) worst: Vec<Dearer>,
}

/// A question on which TALE-EP cost more than vanilla CoT.
pub(super) struct Dearer {
    pub(super) position: u64,
    pub(super) vanilla: u32,
    pub(super) answer: u32,
    pub(super) estimate: u32,
    pub(super) budget: Option<u32>,
}

impl Dearer {
    pub(super) fn excess(&self) -> i64 {
        i64::from(self.answer) + i64::from(self.estimate) - i64::from(self.vanilla)
    }
}

impl Findings {
    pub(super) fn read(reader: &Reader) -> Result<Self, StoreError> {
        let plan = Plan::read(reader)?;
        let cells = reader.cells()?;
        let (mut rows, mut paired, mut groups) = (Vec::new(), Vec::new(), Vec::new());
        let mut analysis = Vec::new();
        let datasets = data::notes(reader)?;
        let mut circular = Vec::new();
        let searched = reader.search_cells()?;
        for cells in grouped(&cells) {
            let mut group = Group::new(&cells);
            let mut gather = Gather::default();
            let mut searches = Searches::default();
            let baseline = match cells.iter().find(|(_, c)| c.method == BASELINE) {
                Some((id, cell)) => Some(Column::read(reader, *id, cell)?),
                None => None,
            };
            for (id, cell) in &cells {
                let own;
                let column = match &baseline {
                    Some(b) if cell.method == BASELINE => b,
                    _ => {
                        own = Column::read(reader, *id, cell)?;
                        &own
                    }
                };
                if let Some(b) = baseline.as_ref().filter(|b| b.cell.method != cell.method) {
                    paired.push(Paired::of(column, b));
                    if cell.method == SUBJECT {
                        group.saved = Some(Saved::of(column, b));
                    }
                }
                group.add(column);
                gather.add(column);
                rows.push(column.row.clone());
                circular.extend(data::Circular::of(column, &datasets));
            }
            for (id, _) in cells.iter().filter(|(id, _)| searched.contains(id)) {
                reader.for_each_search(*id, |search| {
                    searches.add(&search);
                    if let Some(budget) = search.kept().and_then(|a| a.budget) {
                        gather.found(search.measure.position, budget);
                    }
                    Ok::<(), StoreError>(())
                })?;
            }
            group.curves = gather.curves();
            group.searched = thinned(&searches.pairs());
            let mut found = gather.finish(&group.llm, &group.dataset, plan.alpha());
            found.search = searches.finish();
            analysis.push(found);
            groups.push(group);
        }
        let errors = rows.iter().map(|r| r.errors).sum();
        let summary = Summary {
            name: plan.name.clone().unwrap_or_default(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            totals: Totals {
                samples: rows.iter().map(|r| r.n).sum::<u64>() + errors,
                errors,
                calls: reader.call_count()?,
                cost_usd: reader.cost_usd()?,
                spent_usd: reader.spent_usd()?,
                cached_calls: reader.cached_call_count()?,
            },
            rows,
            paired,
            searches: search::numbers(reader, &cells)?,
            analysis,
            datasets,
            circular,
            post_train: post_train::read(reader)?,
        };
        Ok(Self {
            summary,
            plan,
            groups,
        })
    }
}

impl Group {
    fn new(cells: &[(CellId, Cell)]) -> Self {
        Self {
            llm: cells[0].1.llm.clone(),
            dataset: cells[0].1.dataset.clone(),
            cells: cells.to_vec(),
            shapes: Vec::new(),
            saved: None,
            curves: Vec::new(),
            searched: Vec::new(),
            last_position: 0,
        }
    }

    fn add(&mut self, column: &Column) {
        if let Some(last) = column.points.last() {
            self.last_position = self.last_position.max(last.position);
        }
        let mut tokens: Vec<u32> = column.points.iter().filter_map(|p| p.output()).collect();
        tokens.sort_unstable();
        let with_budget = |p: &Point| p.budget().zip(p.output());
        self.shapes.push(Shape {
            method: column.cell.method.clone(),
            tokens: thinned(&tokens),
            budgets: thinned(
                &column
                    .points
                    .iter()
                    .filter_map(with_budget)
                    .collect::<Vec<_>>(),
            ),
        });
    }
}

impl Saved {
    fn of(subject: &Column, baseline: &Column) -> Self {
        let mut curve = Vec::new();
        let mut worst = Vec::new();
        let mut dearer = 0;
        for (x, y) in matched(&subject.points, &baseline.points) {
            let (Some(answer), Some(vanilla)) = (x.output(), y.output()) else {
                continue;
            };
            let d = Dearer {
                position: x.position,
                vanilla: vanilla.saturating_add(y.estimate),
                answer,
                estimate: x.estimate,
                budget: x.budget(),
            };
            curve.push(-d.excess());
            if d.excess() > 0 {
                dearer += 1;
                worst.push(d);
                if worst.len() >= 2 * LISTED {
                    keep_worst(&mut worst);
                }
            }
        }
        keep_worst(&mut worst);
        curve.sort_unstable_by(|a, b| b.cmp(a));
        Self {
            n: curve.len() as u64,
            curve: thinned(&curve),
            dearer,
            worst,
        }
    }
}

fn keep_worst(list: &mut Vec<Dearer>) {
    list.sort_by_key(|d| (-d.excess(), d.position));
    list.truncate(LISTED);
}

/// The columns of the experiment by model and data set, in the order of the manifest.
fn grouped(cells: &[(CellId, Cell)]) -> Vec<Vec<(CellId, Cell)>> {
    let mut groups: Vec<Vec<(CellId, Cell)>> = Vec::new();
    for (id, cell) in cells {
        let same =
            |g: &&mut Vec<(CellId, Cell)>| g[0].1.llm == cell.llm && g[0].1.dataset == cell.dataset;
        match groups.iter_mut().find(same) {
            Some(group) => group.push((*id, cell.clone())),
            None => groups.push(vec![(*id, cell.clone())]),
        }
    }
    groups
}

/// At most [`DRAWN`] of `all`, evenly, both ends kept.
fn thinned<T: Copy>(all: &[T]) -> Vec<T> {
    if all.len() <= DRAWN {
        return all.to_vec();
    }
    (0..DRAWN)
        .map(|i| all[i * (all.len() - 1) / (DRAWN - 1)])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_both_ends_and_the_order() {
        let all: Vec<u32> = (0..123_457).collect();
        let few = thinned(&all);
        assert_eq!((few.len(), few[0], few[DRAWN - 1]), (DRAWN, 0, 123_456));
        assert!(few.is_sorted());
        assert_eq!(thinned(&[3, 1]), [3, 1]);
    }
}
