//! Rules for data sets. At most 300 questions are read.

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures_util::future::join_all;

use super::{Fault, Subject, Verdict, fail, rules, skip};
use crate::{
    messages::{ErrorKind, GradeRequest, PageRequest, Question},
    traits::Dataset,
};

rules! {
    "DAT-01" "`info` names the data set" => info;
    "DAT-02" "pages hold at most as many questions as asked for" => limit;
    "DAT-03" "no question's id is empty or comes twice" => ids;
    "DAT-04" "pages of any length give the same questions in the same order" => stable;
    "DAT-05" "a cursor that was not handed out is refused as invalid input" => foreign_cursor;
    "DAT-06" "`size`, where given, is the number of questions" => size;
    "DAT-07" "answers are graded if that is declared, and refused as unsupported if not" => grade;
    "DAT-08" "16 readings at a time, from several threads, find the same questions" => together;
    "DAT-09" "a page after a refused one is read" => after_error;
    "DAT-10" "a page of 100,000 may be asked for" => large_page;
    "DAT-11" "after dropped readings, another is whole" => dropped;
}

/// Enough to cross many pages, and little to read.
const MOST: usize = 300;

/// The first questions in pages of `limit`, and whether that is all there are.
async fn read(dataset: &Arc<dyn Dataset>, limit: u32) -> Result<(Vec<Question>, bool), Fault> {
    let (mut questions, mut cursor) = (Vec::new(), None);
    // Pages may be short or even empty, but must lead on: so many are enough.
    for _ in 0..10 * MOST {
        let page = dataset.page(PageRequest { cursor, limit }).await?;
        if page.questions.len() > limit as usize {
            return fail(format!(
                "{} questions where {limit} were asked for",
                page.questions.len()
            ));
        }
        questions.extend(page.questions);
        cursor = page.next;
        if cursor.is_none() {
            return Ok((questions, true));
        }
        if questions.len() >= MOST {
            questions.truncate(MOST);
            return Ok((questions, false));
        }
    }
    fail("the pages do not lead to an end")
}

async fn info(subject: &Subject<'_>) -> Verdict {
    if subject.dataset().await?.info().await?.name.is_empty() {
        return fail("it has no name");
    }
    Ok(())
}

async fn limit(subject: &Subject<'_>) -> Verdict {
    let dataset = subject.dataset().await?;
    for limit in [1, 7, 64] {
        read(&dataset, limit).await?;
    }
    Ok(())
}

async fn ids(subject: &Subject<'_>) -> Verdict {
    let (questions, _) = read(&subject.dataset().await?, 50).await?;
    let mut seen = HashSet::new();
    for question in questions {
        if question.id.is_empty() {
            return fail("an id is empty");
        }
        if !seen.insert(question.id.clone()) {
            return fail(format!("id `{}` comes twice", question.id));
        }
    }
    Ok(())
}

async fn stable(subject: &Subject<'_>) -> Verdict {
    let first = subject.dataset().await?;
    let (whole, _) = read(&first, 300).await?;
    let second = subject.dataset().await?;
    for (dataset, limit) in [(&first, 7), (&second, 50), (&second, 1)] {
        let (again, _) = read(dataset, limit).await?;
        if again != whole {
            return fail(format!("pages of {limit} differ from pages of 300"));
        }
    }
    Ok(())
}

async fn foreign_cursor(subject: &Subject<'_>) -> Verdict {
    let cursor = Some("no such place \u{1f4a5}".to_owned());
    match subject
        .dataset()
        .await?
        .page(PageRequest { cursor, limit: 1 })
        .await
    {
        Err(e) if e.kind == ErrorKind::InvalidInput => Ok(()),
        Err(e) => fail(format!("refused as {}: {e}", e.kind)),
        Ok(_) => fail("accepted"),
    }
}

async fn size(subject: &Subject<'_>) -> Verdict {
    let dataset = subject.dataset().await?;
    let Some(size) = dataset.info().await?.size else {
        return skip("not given");
    };
    let (questions, is_all) = read(&dataset, 100).await?;
    let found = questions.len() as u64;
    if is_all && found != size {
        return fail(format!("{found} questions, `size` is {size}"));
    }
    if size < found {
        return fail(format!("over {found} questions, `size` is {size}"));
    }
    Ok(())
}

async fn grade(subject: &Subject<'_>) -> Verdict {
    let dataset = subject.dataset().await?;
    let (questions, _) = read(&dataset, 1).await?;
    let Some(question) = questions.into_iter().next() else {
        return skip("no questions");
    };
    let completion = question.gold.clone().unwrap_or_default();
    let outcome = dataset
        .grade(GradeRequest {
            question,
            completion,
        })
        .await;
    match (dataset.info().await?.grades, outcome) {
        (true, Ok(_)) => Ok(()),
        (false, Err(e)) if e.kind == ErrorKind::Unsupported => Ok(()),
        (false, Ok(_)) => fail("graded, but not declared"),
        (_, Err(e)) => Err(e.into()),
    }
}

async fn together(subject: &Subject<'_>) -> Verdict {
    let dataset = subject.dataset().await?;
    let (whole, _) = read(&dataset, 100).await?;
    let readings = (0..16).map(|i| {
        let dataset = Arc::clone(&dataset);
        tokio::spawn(async move { read(&dataset, 20 + i).await })
    });
    for reading in join_all(readings).await {
        let (questions, _) = reading.unwrap_or_else(|_| fail("a reading panicked"))?;
        if questions != whole {
            return fail("a reading among others differs from one alone");
        }
    }
    Ok(())
}

async fn after_error(subject: &Subject<'_>) -> Verdict {
    let dataset = subject.dataset().await?;
    let cursor = Some("no such place".to_owned());
    // Whether this is refused is another rule's matter.
    let _ = dataset.page(PageRequest { cursor, limit: 1 }).await;
    read(&dataset, 10).await.map(drop)
}

async fn large_page(subject: &Subject<'_>) -> Verdict {
    let dataset = subject.dataset().await?;
    let (cursor, limit) = (None, 100_000);
    let page = dataset.page(PageRequest { cursor, limit }).await?;
    let (first, _) = read(&dataset, 10).await?;
    let both = page.questions.len().min(first.len());
    if page.questions[..both] != first[..both] {
        return fail("it differs from pages of 10");
    }
    if page.next.is_none() && page.questions.len() < first.len() {
        return fail("it ends before pages of 10 do");
    }
    Ok(())
}

async fn dropped(subject: &Subject<'_>) -> Verdict {
    let dataset = subject.dataset().await?;
    let (whole, _) = read(&dataset, 100).await?;
    for wait_us in [0, 50, 500, 5000] {
        let _ = tokio::time::timeout(Duration::from_micros(wait_us), read(&dataset, 3)).await;
    }
    let (again, _) = read(&dataset, 100).await?;
    if again != whole {
        return fail("it differs");
    }
    subject.idle().await
}
