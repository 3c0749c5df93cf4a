//! Rows that belong together, as one record: the utterances of a dialogue.

use serde_json::{Map, Value};
use tale_api::Result;

use super::{
    broken,
    file::{At, Next, Place, Reader},
};

/// Records of a reader, joined while they agree in one field.
pub(super) struct Grouped {
    rows: Box<Reader>,
    field: String,
    place: Place,
    /// The row after the last group, and where it begins.
    ahead: Option<(Row, At)>,
}

struct Row {
    text: Vec<u8>,
    number: u64,
    key: Value,
}

impl Grouped {
    pub(super) fn new(rows: Reader, field: &str, place: Place) -> Self {
        Self {
            rows: Box::new(rows),
            field: field.to_owned(),
            place,
            ahead: None,
        }
    }

    pub(super) fn at(&self) -> At {
        self.ahead
            .as_ref()
            .map_or_else(|| self.rows.at(), |(_, at)| *at)
    }

    pub(super) fn next(&mut self, record: &mut Vec<u8>) -> Result<Next> {
        record.clear();
        let first = match self.ahead.take() {
            Some((row, _)) => row,
            None => match self.row()? {
                Ok(row) => row,
                Err(next) => return Ok(next),
            },
        };
        record.extend(b"{\"rows\":[");
        record.extend(&first.text);
        loop {
            let at = self.rows.at();
            match self.row()? {
                Ok(row) if row.key == first.key => {
                    record.push(b',');
                    record.extend(&row.text);
                    if record.len() > self.place.max_record_bytes {
                        record.clear();
                        return Ok(Next::Broken(self.place.too_long(first.number)));
                    }
                }
                Ok(row) => {
                    self.ahead = Some((row, at));
                    break;
                }
                Err(Next::Broken(error)) => {
                    record.clear();
                    return Ok(Next::Broken(error));
                }
                Err(_) => break,
            }
        }
        record.extend(b"]}");
        Ok(Next::Record(first.number))
    }

    /// The next row, or what else comes.
    fn row(&mut self) -> Result<std::result::Result<Row, Next>> {
        let mut text = Vec::new();
        let number = match self.rows.next(&mut text)? {
            Next::Record(number) => number,
            other => return Ok(Err(other)),
        };
        let broken = |what: String| Ok(Err(Next::Broken(self.place.error(number, broken(what)))));
        let key = match serde_json::from_slice::<Map<String, Value>>(&text) {
            Ok(mut fields) => match fields.remove(&self.field) {
                Some(key) => key,
                None => return broken(format!("no field `{}` to group rows by", self.field)),
            },
            Err(e) => return broken(format!("no JSON object: {e}")),
        };
        Ok(Ok(Row { text, number, key }))
    }
}
