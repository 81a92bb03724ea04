//! Leaderboards and tournaments as the configuration declares them.

use base::json::{self, Json, Object};
use base::{UnixTime, jsonb};
use domain::compete::board::{ANY_SIZE, Error, NUM_SCORE_DEFAULT, NewBoard, Operator, Terms};

use super::board::object_text;
use super::board_console::parse_operator;

/// Id and text of an entry, JSON with every default; or all that is wrong with it, each as
/// `place: what`.
pub fn read_leaderboard(json: &Json) -> Result<(String, String), Vec<String>> {
    let board = leaderboard(json)?;
    Ok((board.id.clone(), text(&board)))
}

pub fn read_tournament(json: &Json) -> Result<(String, String), Vec<String>> {
    let board = tournament(json)?;
    Ok((board.id.clone(), text(&board)))
}

/// The board of an entry.
pub fn leaderboard(json: &Json) -> Result<NewBoard, Vec<String>> {
    let mut entry = Entry::new(json)?;
    let board = board(&mut entry, None);
    entry.finish(board)
}

/// A start of 0 is when it is created.
pub fn tournament(json: &Json) -> Result<NewBoard, Vec<String>> {
    let mut entry = Entry::new(json)?;
    let terms = Terms {
        title: entry.text("title"),
        description: entry.text("description"),
        category: u8::try_from(entry.number("category", 0)).unwrap_or(u8::MAX),
        duration: entry.number("duration", 0),
        start_time: entry.time("start_time"),
        end_time: entry.time("end_time"),
        max_size: entry.short("max_size", ANY_SIZE),
        max_num_score: entry.short("max_num_score", NUM_SCORE_DEFAULT),
        is_join_required: entry.flag("join_required", false),
    };
    let board = board(&mut entry, Some(terms));
    entry.finish(board)
}

fn board(entry: &mut Entry<'_>, terms: Option<Terms>) -> NewBoard {
    let sort_order = entry.text("sort_order");
    if !["", "desc", "asc"].contains(&sort_order.as_str()) {
        entry.refuse("sort_order", "has to be \"asc\" or \"desc\"");
    }
    let operator = parse_operator(&entry.text("operator"));
    if operator.is_err() {
        entry.refuse("operator", "has to be \"best\", \"set\", \"incr\" or \"decr\"");
    }
    NewBoard {
        id: entry.text("id"),
        is_descending: sort_order != "asc",
        operator: operator.unwrap_or(Operator::Best),
        is_authoritative: entry.flag("authoritative", false),
        has_ranks: entry.flag("enable_ranks", true),
        reset: entry.text("reset_schedule"),
        metadata: entry.metadata(),
        tournament: terms,
    }
}

/// An entry being read: what is left of it, and what was wrong so far.
struct Entry<'a> {
    members: Vec<&'a (String, Json)>,
    problems: Vec<String>,
}

impl<'a> Entry<'a> {
    fn new(json: &'a Json) -> Result<Entry<'a>, Vec<String>> {
        match json {
            Json::Object(members) => {
                Ok(Entry { members: members.iter().collect(), problems: Vec::new() })
            }
            _ => Err(vec![": has to be an object".to_owned()]),
        }
    }

    fn refuse(&mut self, name: &str, what: &str) {
        self.problems.push(format!("{name}: {what}"));
    }

    fn take(&mut self, name: &str) -> Option<&'a Json> {
        let at = self.members.iter().position(|(other, _)| other == name)?;
        Some(&self.members.remove(at).1)
    }

    fn text(&mut self, name: &str) -> String {
        match self.take(name) {
            None => String::new(),
            Some(Json::Text(text)) => text.clone(),
            Some(_) => {
                self.refuse(name, "has to be a text");
                String::new()
            }
        }
    }

    fn flag(&mut self, name: &str, default: bool) -> bool {
        match self.take(name) {
            None => default,
            Some(Json::Bool(flag)) => *flag,
            Some(_) => {
                self.refuse(name, "has to be true or false");
                default
            }
        }
    }

    fn number(&mut self, name: &str, default: u64) -> u64 {
        let Some(json) = self.take(name) else { return default };
        if let Json::Integer(number) = json
            && let Ok(number) = u32::try_from(*number)
        {
            return number.into();
        }
        self.refuse(name, "has to be a whole number, 0 to 4294967295");
        default
    }

    fn short(&mut self, name: &str, default: u32) -> u32 {
        u32::try_from(self.number(name, default.into())).unwrap_or(default)
    }

    /// Seconds since 1970, or the time as text; 0 where there is none.
    fn time(&mut self, name: &str) -> u64 {
        match self.take(name) {
            None => 0,
            Some(Json::Integer(seconds)) if u32::try_from(*seconds).is_ok() => {
                u64::try_from(*seconds).unwrap_or_default()
            }
            Some(Json::Text(text)) if UnixTime::parse(text).is_some() => {
                UnixTime::parse(text).map_or(0, UnixTime::secs)
            }
            Some(_) => {
                let what = "has to be a time as \"2027-01-31T18:00:00Z\", or seconds since 1970";
                self.refuse(name, what);
                0
            }
        }
    }

    /// An object, or the text of one.
    fn metadata(&mut self) -> String {
        let text = match self.take("metadata") {
            None => return "{}".to_owned(),
            Some(Json::Text(text)) => text.clone(),
            Some(json) => json::text_of(json),
        };
        if let Err(jsonb::Malformed::NoJson(_) | jsonb::Malformed::NoObject) = jsonb::object(&text)
        {
            self.refuse("metadata", "has to be a table, or a JSON object as text");
            return "{}".to_owned();
        }
        object_text(&text).unwrap_or_else(|error| {
            self.refuse("metadata", &error.message);
            "{}".to_owned()
        })
    }

    fn finish(mut self, board: NewBoard) -> Result<NewBoard, Vec<String>> {
        for (name, _) in std::mem::take(&mut self.members) {
            self.refuse(name, "is not known");
        }
        if self.problems.is_empty()
            && let Err(Error::Wrong(what)) = board.check()
        {
            self.problems.push(what.to_owned());
        }
        if self.problems.is_empty() { Ok(board) } else { Err(self.problems) }
    }
}

/// A board as an entry with every default written out.
fn text(board: &NewBoard) -> String {
    json::object(|o| {
        o.text_wrapper("id", Some(&board.id));
        o.text_wrapper("sort_order", Some(if board.is_descending { "desc" } else { "asc" }));
        let operator = match board.operator {
            Operator::Best => "best",
            Operator::Set => "set",
            Operator::Increment => "incr",
            Operator::Decrement => "decr",
        };
        o.text_wrapper("operator", Some(operator));
        o.text_wrapper("reset_schedule", Some(&board.reset));
        o.text_wrapper("metadata", Some(&board.metadata));
        flag(o, "authoritative", board.is_authoritative);
        flag(o, "enable_ranks", board.has_ranks);
        let Some(terms) = &board.tournament else { return };
        o.text_wrapper("title", Some(&terms.title));
        o.text_wrapper("description", Some(&terms.description));
        let numbers = [
            ("category", terms.category.into()),
            ("duration", terms.duration),
            ("start_time", terms.start_time),
            ("end_time", terms.end_time),
            ("max_size", terms.max_size.into()),
            ("max_num_score", terms.max_num_score.into()),
        ];
        for (name, number) in numbers {
            o.raw(name, &number.to_string());
        }
        flag(o, "join_required", terms.is_join_required);
    })
}

/// Present, also when false.
fn flag(o: &mut Object<'_>, name: &str, flag: bool) {
    o.raw(name, if flag { "true" } else { "false" });
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    type Read = fn(&Json) -> Result<(String, String), Vec<String>>;

    fn check(read: Read, entry: &str, expected: &Expect) {
        let json = Json::parse(entry.as_bytes()).expect("it is JSON");
        let told = match read(&json) {
            Err(problems) => problems.join("\n"),
            Ok((_, text)) => {
                let again = Json::parse(text.as_bytes()).expect("it is written as JSON");
                assert_eq!(read(&again).map(|(_, text)| text), Ok(text.clone()));
                text
            }
        };
        expected.assert_eq(&told);
    }

    #[test]
    fn an_entry_is_a_board_with_every_default() {
        check(
            read_leaderboard,
            r#"{"id":"b","sort_order":"asc","metadata":{"b":1,"a":[true]}}"#,
            &expect![[
                r#"{"id":"b","sort_order":"asc","operator":"best","reset_schedule":"","metadata":"{\"a\": [true], \"b\": 1}","authoritative":false,"enable_ranks":true}"#
            ]],
        );
        check(
            read_tournament,
            r#"{"id":"t","duration":60,"end_time":"2027-01-31T18:00:00Z","max_size":5}"#,
            &expect![[
                r#"{"id":"t","sort_order":"desc","operator":"best","reset_schedule":"","metadata":"{}","authoritative":false,"enable_ranks":true,"title":"","description":"","category":0,"duration":60,"start_time":0,"end_time":1801418400,"max_size":5,"max_num_score":1000000,"join_required":false}"#
            ]],
        );
    }

    #[test]
    fn all_that_is_wrong_is_told() {
        check(read_leaderboard, "[]", &expect![": has to be an object"]);
        check(
            read_leaderboard,
            r#"{"sort_order":"up","operator":1,"enable_ranks":"yes","duration":5,"metadata":"[]"}"#,
            &expect![[r#"
                sort_order: has to be "asc" or "desc"
                operator: has to be a text
                enable_ranks: has to be true or false
                metadata: has to be a table, or a JSON object as text
                duration: is not known"#]],
        );
        check(
            read_leaderboard,
            r#"{"id":"b","reset_schedule":"now"}"#,
            &expect!["reset_schedule: is no CRON expression"],
        );
        check(
            read_tournament,
            r#"{"id":"t","start_time":1.5,"max_size":-1}"#,
            &expect![[r#"
            start_time: has to be a time as "2027-01-31T18:00:00Z", or seconds since 1970
            max_size: has to be a whole number, 0 to 4294967295"#]],
        );
        check(read_tournament, r#"{"id":"t"}"#, &expect!["duration: has to be 1 or more"]);
        check(
            read_tournament,
            r#"{"id":"t","duration":1,"category":200}"#,
            &expect!["category: has to be 0 to 127"],
        );
    }
}
