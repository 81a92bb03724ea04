//! Definitions as JSON, as configuration and operators write them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use base::json::{self, Json, Object};

use super::definition::{Attribute, Definition, Kept, Method, Rating, Role, Rule, System, Team};
use super::steps::Steps;

impl Definition {
    /// Reads a definition; or all that is wrong with it, each with the place where.
    pub fn parse(json: &Json) -> Result<Definition, Vec<String>> {
        let mut reader = Reader::default();
        let definition = reader.definition(json);
        let mut wrong = reader.wrong;
        if wrong.is_empty()
            && let Err(problems) = definition.check()
        {
            wrong = problems;
        }
        if wrong.is_empty() { Ok(definition) } else { Err(wrong) }
    }

    /// As [`Definition::parse`] reads it, every default written out.
    pub fn text(&self) -> String {
        json::object(|o| {
            o.text("id", &self.id);
            o.text("mode", &self.mode);
            o.list("teams", &self.teams, |team, o| {
                o.text("name", &team.name);
                o.raw("min", &team.min.to_string());
                o.raw("max", &team.max.to_string());
            });
            let sizes: Vec<_> = self.party_sizes.iter().map(usize::to_string).collect();
            o.raw("party_sizes", &format!("[{}]", sizes.join(",")));
            o.list("attributes", &self.attributes, |Attribute { name, rule }, o| {
                o.text("name", name);
                match rule {
                    Rule::Equal => o.text("rule", "equal"),
                    Rule::Distance(steps) => {
                        o.text("rule", "distance");
                        o.raw("distance", &steps_text(steps));
                    }
                    Rule::Intersect(values) => {
                        o.text("rule", "intersect");
                        o.raw("values", &texts(values));
                    }
                }
            });
            o.object("rating", |o| {
                let Rating { system, window, uncertainty, default, default_deviation } =
                    &self.rating;
                match system {
                    System::Given => o.text("system", "given"),
                    System::Kept(kept) => kept_text(kept, o),
                }
                o.raw("window", &steps_text(window));
                o.double("uncertainty", *uncertainty);
                o.double("default", *default);
                o.double("default_deviation", *default_deviation);
            });
            o.list("roles", &self.roles, |role, o| {
                o.text("name", &role.name);
                o.raw("slots", &role.slots.to_string());
            });
            o.raw("regions", &texts(&self.regions));
            o.raw("latency", &steps_text(&self.latency));
            o.raw("quality", &steps_text(&self.quality));
            let mut wait = |name, wait: Option<Duration>| {
                if let Some(wait) = wait {
                    o.double(name, wait.as_secs_f64());
                }
            };
            wait("autofill_after_sec", self.autofill);
            wait("smaller_after_sec", self.smaller);
            wait("ready_sec", self.ready);
            wait("lease_sec", Some(self.lease));
        })
    }
}

fn kept_text(kept: &Kept, o: &mut Object<'_>) {
    match kept.method {
        Method::Elo { k } => {
            o.text("system", "elo");
            o.double("k", k);
        }
        Method::Glicko2 { tau, volatility } => {
            o.text("system", "glicko2");
            o.double("tau", tau);
            o.double("volatility", volatility);
        }
        Method::OpenSkill { beta, tau } => {
            o.text("system", "openskill");
            o.double("beta", beta);
            o.double("tau", tau);
        }
    }
    o.raw("placement_games", &kept.placement_games.to_string());
    o.double("placement_factor", kept.placement_factor);
    o.double("growth", kept.growth);
}

fn texts(list: &[String]) -> String {
    let mut out = String::from("[");
    for (index, text) in list.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        json::write_text(&mut out, text);
    }
    out.push(']');
    out
}

fn steps_text(Steps(steps): &Steps) -> String {
    let mut out = String::from("[");
    for (index, (age, value)) in steps.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        write!(out, "{comma}[{},{value}]", age.as_secs_f64()).expect("a string takes every text");
    }
    out.push(']');
    out
}

/// Collects what is wrong, and reads on.
#[derive(Default)]
struct Reader {
    wrong: Vec<String>,
}

/// The members of an object, by name, of which all have to be known.
type Members<'a> = &'a [(String, Json)];

impl Reader {
    fn say(&mut self, place: &str, what: &str) {
        self.wrong.push(format!("{place}: {what}"));
    }

    fn object<'a>(&mut self, place: &str, json: &'a Json, known: &[&str]) -> Members<'a> {
        let Json::Object(members) = json else {
            self.say(place, "has to be an object");
            return &[];
        };
        let mut names = BTreeSet::new();
        for (name, _) in members {
            let at = within(place, name);
            if !known.contains(&name.as_str()) {
                self.say(&at, &format!("is not known; known are {}", known.join(", ")));
            } else if !names.insert(name) {
                self.say(&at, "is there twice");
            }
        }
        members
    }

    fn definition(&mut self, json: &Json) -> Definition {
        const KNOWN: [&str; 14] = [
            "id",
            "mode",
            "teams",
            "party_sizes",
            "attributes",
            "rating",
            "roles",
            "regions",
            "latency",
            "quality",
            "autofill_after_sec",
            "smaller_after_sec",
            "ready_sec",
            "lease_sec",
        ];
        let members = self.object("", json, &KNOWN);
        let mut read = Definition::new("", 1);
        read.party_sizes.clear();
        let mut has_teams = false;
        for (name, value) in members {
            match name.as_str() {
                "id" => read.id = self.text(name, value),
                "mode" => read.mode = self.text(name, value),
                "teams" => {
                    has_teams = true;
                    read.teams = self.list(name, value, Reader::team);
                }
                "party_sizes" => {
                    read.party_sizes = self.list(name, value, Reader::count).into_iter().collect();
                    if read.party_sizes.is_empty() {
                        self.say(name, "has to name a size");
                    }
                }
                "attributes" => read.attributes = self.list(name, value, Reader::attribute),
                "rating" => self.rating(name, value, &mut read.rating),
                "roles" => read.roles = self.list(name, value, Reader::role),
                "regions" => read.regions = self.list(name, value, Reader::text),
                "latency" => read.latency = self.steps(name, value),
                "quality" => read.quality = self.steps(name, value),
                "autofill_after_sec" => read.autofill = self.wait(name, value),
                "smaller_after_sec" => read.smaller = self.wait(name, value),
                "ready_sec" => read.ready = self.wait(name, value),
                "lease_sec" => read.lease = self.wait(name, value).unwrap_or(read.lease),
                _ => {}
            }
        }
        if !has_teams {
            self.say("teams", "is missing");
        }
        if read.party_sizes.is_empty() {
            let largest = read.teams.iter().map(|team| team.max).max().unwrap_or(0);
            read.party_sizes = (1..=largest.min(super::definition::PLAYERS_MAX)).collect();
        }
        read
    }

    fn team(&mut self, place: &str, json: &Json) -> Team {
        let members = self.object(place, json, &["name", "min", "max"]);
        let mut team = Team { name: String::new(), min: 0, max: 0 };
        for (name, value) in members {
            let at = within(place, name);
            match name.as_str() {
                "name" => team.name = self.text(&at, value),
                "min" => team.min = self.count(&at, value),
                "max" => team.max = self.count(&at, value),
                _ => {}
            }
        }
        if !members.iter().any(|(name, _)| name == "min") {
            team.min = team.max;
        }
        team
    }

    fn role(&mut self, place: &str, json: &Json) -> Role {
        let members = self.object(place, json, &["name", "slots"]);
        let mut role = Role { name: String::new(), slots: 1 };
        for (name, value) in members {
            let at = within(place, name);
            match name.as_str() {
                "name" => role.name = self.text(&at, value),
                "slots" => role.slots = self.count(&at, value),
                _ => {}
            }
        }
        role
    }

    fn attribute(&mut self, place: &str, json: &Json) -> Attribute {
        let members = self.object(place, json, &["name", "rule", "distance", "values"]);
        let (mut called, mut rule) = (String::new(), String::from("equal"));
        let (mut distance, mut values) = (None, None);
        for (name, value) in members {
            let at = within(place, name);
            match name.as_str() {
                "name" => called = self.text(&at, value),
                "rule" => rule = self.text(&at, value),
                "distance" => distance = Some(self.steps(&at, value)),
                "values" => values = Some(self.list(&at, value, Reader::text)),
                _ => {}
            }
        }
        let rule = match (rule.as_str(), distance, values) {
            ("equal", None, None) => Rule::Equal,
            ("distance", Some(steps), None) => Rule::Distance(steps),
            ("intersect", None, Some(values)) => Rule::Intersect(values),
            _ => {
                self.say(
                    place,
                    "rule has to be \"equal\", \"distance\" with a distance, or \"intersect\" \
                     with values",
                );
                Rule::Equal
            }
        };
        Attribute { name: called, rule }
    }

    fn rating(&mut self, place: &str, json: &Json, rating: &mut Rating) {
        const KNOWN: [&str; 12] = [
            "system",
            "window",
            "uncertainty",
            "default",
            "default_deviation",
            "k",
            "tau",
            "volatility",
            "beta",
            "placement_games",
            "placement_factor",
            "growth",
        ];
        let mut system = String::from("given");
        let members = self.object(place, json, &KNOWN);
        for (name, value) in members {
            let at = within(place, name);
            match name.as_str() {
                "system" => system = self.text(&at, value),
                "window" => rating.window = self.steps(&at, value),
                "uncertainty" => rating.uncertainty = self.number(&at, value),
                "default" => rating.default = self.number(&at, value),
                "default_deviation" => rating.default_deviation = self.number(&at, value),
                _ => {}
            }
        }
        let kept = match system.as_str() {
            "given" => None,
            "elo" => Some(Kept::elo()),
            "glicko2" => Some(Kept::glicko2(rating.default_deviation)),
            "openskill" => Some(Kept::openskill(rating.default_deviation)),
            _ => {
                let what = "has to be \"given\", \"elo\", \"glicko2\" or \"openskill\"";
                return self.say(&within(place, "system"), what);
            }
        };
        let terms = members.iter().filter(|(name, _)| KNOWN[5..].contains(&name.as_str()));
        match kept {
            None => terms.for_each(|(name, _)| self.other_system(&within(place, name))),
            Some(mut kept) => {
                for (name, value) in terms {
                    self.term(&within(place, name), (name.as_str(), value), &mut kept);
                }
                rating.system = System::Kept(kept);
            }
        }
    }

    fn other_system(&mut self, place: &str) {
        self.say(place, "is not of this system");
    }

    /// A term of how ratings are kept.
    fn term(&mut self, place: &str, (name, value): (&str, &Json), kept: &mut Kept) {
        let field = match (name, &mut kept.method) {
            ("placement_games", _) => {
                kept.placement_games = self.count(place, value);
                return;
            }
            ("placement_factor", _) => &mut kept.placement_factor,
            ("growth", _) => &mut kept.growth,
            ("k", Method::Elo { k }) => k,
            ("volatility", Method::Glicko2 { volatility, .. }) => volatility,
            ("beta", Method::OpenSkill { beta, .. }) => beta,
            ("tau", Method::Glicko2 { tau, .. } | Method::OpenSkill { tau, .. }) => tau,
            _ => return self.other_system(place),
        };
        *field = self.number(place, value);
    }

    /// A number, `[[seconds, number], …]`, or `{"from", "to", "over_sec"}`.
    fn steps(&mut self, place: &str, json: &Json) -> Steps {
        match json {
            Json::List(items) => {
                let mut steps = Vec::new();
                for (index, item) in items.iter().enumerate() {
                    let at = format!("{place}[{index}]");
                    match item {
                        Json::List(pair) if pair.len() == 2 => {
                            let age = self.wait(&at, &pair[0]).unwrap_or_default();
                            steps.push((age, self.number(&at, &pair[1])));
                        }
                        _ => self.say(&at, "has to be [seconds, number]"),
                    }
                }
                Steps(steps)
            }
            Json::Object(_) => {
                let (mut from, mut to, mut over) = (0.0, 0.0, Duration::ZERO);
                for (name, value) in self.object(place, json, &["from", "to", "over_sec"]) {
                    let at = within(place, name);
                    match name.as_str() {
                        "from" => from = self.number(&at, value),
                        "to" => to = self.number(&at, value),
                        "over_sec" => over = self.wait(&at, value).unwrap_or_default(),
                        _ => {}
                    }
                }
                Steps::evenly(from, to, over)
            }
            _ => Steps::constant(self.number(place, json)),
        }
    }

    fn list<T>(
        &mut self,
        place: &str,
        json: &Json,
        mut read: impl FnMut(&mut Reader, &str, &Json) -> T,
    ) -> Vec<T> {
        let Json::List(items) = json else {
            self.say(place, "has to be a list");
            return Vec::new();
        };
        let items = items.iter().enumerate();
        items.map(|(index, item)| read(self, &format!("{place}[{index}]"), item)).collect()
    }

    fn text(&mut self, place: &str, json: &Json) -> String {
        let Json::Text(text) = json else {
            self.say(place, "has to be a text");
            return String::new();
        };
        text.clone()
    }

    fn number(&mut self, place: &str, json: &Json) -> f64 {
        match json {
            #[expect(clippy::cast_precision_loss, reason = "bounds are checked later")]
            Json::Integer(number) => *number as f64,
            Json::Float(number) => *number,
            _ => {
                self.say(place, "has to be a number");
                0.0
            }
        }
    }

    fn count(&mut self, place: &str, json: &Json) -> usize {
        match json {
            Json::Integer(number @ 0..=1_000_000) => usize::try_from(*number).expect("is small"),
            _ => {
                self.say(place, "has to be a whole number, 0 or more");
                0
            }
        }
    }

    /// Seconds.
    fn wait(&mut self, place: &str, json: &Json) -> Option<Duration> {
        let secs = self.number(place, json);
        let wait = Duration::try_from_secs_f64(secs).ok();
        if wait.is_none() {
            self.say(place, "has to be seconds, 0 or more");
        }
        wait
    }
}

fn within(place: &str, name: &str) -> String {
    match place {
        "" => name.to_owned(),
        place => format!("{place}.{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Definition, Vec<String>> {
        Definition::parse(&Json::parse(text.as_bytes()).expect("JSON"))
    }

    #[test]
    fn a_definition_is_read_and_written() {
        let text = r#"{
            "id": "ranked", "mode": "5v5",
            "teams": [{"name":"red","max":5},{"name":"blue","min":4,"max":5}],
            "party_sizes": [1,2,5],
            "attributes": [{"name":"build"},{"name":"level","rule":"distance","distance":10},
                {"name":"map","rule":"intersect","values":["dust","old town"]}],
            "rating": {"window":{"from":100,"to":500,"over_sec":40},"uncertainty":0.5},
            "roles": [{"name":"tank"},{"name":"healer"},{"name":"damage","slots":3}],
            "regions": ["eu","us"], "latency": [[0,30],[20,100]], "quality": [[0,0.8],[30,0]],
            "autofill_after_sec": 20, "smaller_after_sec": 30.5, "ready_sec": 15, "lease_sec": 60
        }"#;
        let definition = parse(text).expect("a definition");
        assert_eq!((definition.teams[0].min, definition.teams[1].min), (5, 4));
        assert_eq!(definition.stages().len(), 18, "17 of the window, which has 20 s and 30 s");
        assert_eq!(parse(&definition.text()), Ok(definition));
        let least = parse(r#"{"id":"duel","teams":[{"name":"a","max":1},{"name":"b","max":1}]}"#);
        let least = least.expect("a definition");
        assert_eq!(least, {
            let mut duel = Definition::new("duel", 1);
            duel.teams[0].name = "a".into();
            duel.teams[1].name = "b".into();
            duel
        });
    }

    #[test]
    fn everything_that_is_wrong_is_told_with_its_place() {
        let check = |text: &str, expected: &[&str]| {
            assert_eq!(parse(text).expect_err(text), expected, "{text}");
        };
        check("[]", &[": has to be an object", "teams: is missing"]);
        check(
            r#"{"id":"a","teams":[{"name":"a","max":2}],"latency":{"from":1,"to":2,"over_sec":1e19}}"#,
            &["latency: no step later than a day"],
        );
        let teams = r#""teams":[{"name":"a","max":2},{"name":"b","max":2}]"#;
        check(
            &format!(
                r#"{{"id":7,{teams},"rating":{{"windows":1}},"latency":[[0]],"ready_sec":-1}}"#
            ),
            &[
                "id: has to be a text",
                "rating.windows: is not known; known are system, window, uncertainty, default, \
                 default_deviation, k, tau, volatility, beta, placement_games, placement_factor, \
                 growth",
                "latency[0]: has to be [seconds, number]",
                "ready_sec: has to be seconds, 0 or more",
            ],
        );
        check(
            &format!(
                r#"{{"id":"a/b",{teams},"party_sizes":[3],"quality":[[0,0.5],[9,0.6]],
                "roles":[{{"name":"tank"}}],"ready_sec":1000,
                "attributes":[{{"name":"rating"}}]}}"#
            ),
            &[
                "id: 1 to 64 letters, digits, '-', '_', '.' or spaces",
                "party_sizes: each from 1 to 2, the largest team",
                "attributes: name: 1 to 64 letters, digits, '-', '_', '.' or spaces, and not one \
                 that queues know",
                "quality: ages have to rise, and values never to rise",
                "roles: their slots have to add up to the max size of every team",
                "ready_sec: 1 to 300",
            ],
        );
    }

    #[test]
    fn each_system_of_ratings_has_its_own_terms() {
        let teams = r#""teams":[{"name":"a","max":1},{"name":"b","max":1}]"#;
        let text = |rating: &str| format!(r#"{{"id":"a",{teams},"rating":{{{rating}}}}}"#);
        let read = |rating: &str| parse(&text(rating)).expect(rating);
        let good = [
            (r#""system":"elo""#, Kept::elo()),
            (r#""system":"glicko2""#, Kept::glicko2(350.0)),
            (r#""system":"openskill""#, Kept::openskill(350.0)),
            (
                r#""beta":4,"tau":0,"growth":0,"default_deviation":8,"system":"openskill""#,
                Kept {
                    method: Method::OpenSkill { beta: 4.0, tau: 0.0 },
                    growth: 0.0,
                    ..Kept::openskill(8.0)
                },
            ),
            (
                r#""system":"elo","k":20,"placement_games":0"#,
                Kept { method: Method::Elo { k: 20.0 }, placement_games: 0, ..Kept::elo() },
            ),
        ];
        for (rating, kept) in good {
            let definition = read(rating);
            assert_eq!(definition.rating.system, System::Kept(kept), "{rating}");
            assert_eq!(parse(&definition.text()), Ok(definition), "{rating}");
        }
        let bad = [
            (r#""k":20"#, "rating.k: is not of this system"),
            (r#""system":"elo","beta":20"#, "rating.beta: is not of this system"),
            (
                r#""system":"trueskill""#,
                "rating.system: has to be \"given\", \"elo\", \"glicko2\" or \"openskill\"",
            ),
            (r#""system":"elo","k":2000"#, "rating.k: from 0 to 1000"),
            (r#""system":"glicko2","tau":0"#, "rating.tau: from 0.1 to 5"),
            (
                r#""system":"glicko2","default_deviation":0"#,
                "rating.default_deviation: from 0.001 where ratings are kept",
            ),
        ];
        for (rating, expected) in bad {
            assert_eq!(parse(&text(rating)).expect_err(rating), [expected], "{rating}");
        }
    }
}
