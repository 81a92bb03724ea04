//! What Nakama answered, and what no text may do.

use base::json::Json;
use base::limits;
use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Query {
    Query::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

struct Fields(Label);

impl Document for Fields {
    fn any(&self, field: &str, accepts: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        self.0.any(&format!("label.{field}"), accepts)
    }
}

fn document() -> Fields {
    let json = br#"{"a":"two words","b":"bar","c":"kitten","n":10,"z":0,"nz":-0.0,"e":"",
        "d":"2020-01-02","lines":"a\nb","t":true,"u":"\u00e4","five":"5","party_id":""}"#;
    Fields(Label::new("label", &Json::parse(json).expect("JSON")))
}

/// Recorded from the reference, except for phrases.
#[test]
fn queries_match_and_score_as_in_nakama() {
    let document = document();
    let check = |text: &str, expected: Option<f64>| {
        assert_eq!(parse(text).score(&document), expected, "{text}");
    };
    let (no, one) = (None, Some(1.0));
    for (text, expected) in [
        // everything and nothing
        ("", one),
        ("*", one),
        ("**", no),
        ("x", no),
        ("10", no),
        ("_all:x", no),
        ("* b:bar", one),
        ("+* b:bar", no),
        // must, should, must not
        ("b:bar", one),
        ("b:baz", no),
        ("-b:bar", no),
        ("-b:baz", one),
        ("-b:baz n:11", no),
        ("-b:baz n:10", one),
        ("+b:bar n:11", one),
        ("+b:bar n:10 n:>5", Some(3.0)),
        ("+b:bar +n:11", no),
        ("n:10 n:11 -b:zz", one),
        // white space
        (" b:bar ", one),
        ("\t\u{a0}b:bar", one),
        ("b :bar", one),
        ("b: bar", one),
        ("+ b:bar", one),
        ("n:> 5", one),
        ("n: > = 10", one),
        ("b:bar\t", no),
        // boosts: twice on terms, never on dates
        ("b:bar^10", Some(100.0)),
        ("b:bar^-3", Some(9.0)),
        ("b:bar^0", Some(0.0)),
        ("b:bar^1e3", Some(1e6)),
        ("b:bar^", one),
        ("b:bar ^5", Some(25.0)),
        ("n:10^3", Some(3.0)),
        ("n:>=5^3", Some(3.0)),
        ("b:/bar/^2", Some(2.0)),
        ("b:b*^2", Some(2.0)),
        ("d:>\"2019-01-01T00:00:00Z\"^5", one),
        // numbers
        ("n:10.", one),
        ("n:1e1", no),
        ("b:1.2.3", no),
        ("b:.5", no),
        ("five:5", one),
        ("five:5.0", no),
        ("five:>4", no),
        ("z:0", one),
        ("z:-0", no),
        ("nz:-0", one),
        ("nz:0", no),
        ("nz:>=0", no),
        ("nz:<=0", one),
        ("n:99999999999999999999999999999999999", no),
        // dates
        ("d:2020-01-02", no),
        ("d:\"2020-01-02\"", no),
        ("d:<=\"2020-01-02T00:00:00Z\"", one),
        ("d:<\"2020-01-02T00:00:00Z\"", no),
        ("d:>=\"2020-01-02T01:00:00+01:00\"", one),
        ("d:>\"2020-01-01T23:59:59.999Z\"", one),
        ("d:>5", no),
        ("d:<5", one),
        ("n:>\"2019-01-01T00:00:00Z\"", one),
        // booleans
        ("t:T", one),
        ("t:true", no),
        // patterns
        ("b:ba?", one),
        ("b:ba", no),
        ("b:b\\*", one),
        ("b:ba\\?", one),
        ("b:***", one),
        ("u:?", one),
        ("e:*", one),
        ("e://", one),
        ("n:*", Some(16.0)),
        ("d:*", Some(16.0)),
        ("n:1?", no),
        ("lines:*", no),
        ("lines:/(?s).*/", one),
        ("b:/ba/", no),
        ("b:/\\^bar/", one),
        ("b:/b|bar/", one),
        ("b:/b(a|)*r/", one),
        ("b:/ba{1,2}r/", one),
        ("b:/(?i)BAR/", one),
        ("b:/(?P<x>b)ar/", one),
        ("b:/\\Qbar\\E/", one),
        ("b:/\\x62\\pLr/", one),
        ("b:/b\\dr/", no),
        ("b:/[[\\:alpha\\:]]+/", one),
        // taken, but not searched with
        ("b:/[/", no),
        ("b:bar b:/[/", no),
        ("b:bar -n:/[/", no),
        ("b:/bar$/", no),
        ("b:/\\^\\^bar/", no),
        ("b:/\\bbar/", no),
        ("b:/.*?/", no),
        ("b:/ba)|(r/", no),
        ("b:bar c:kitten~3", no),
        ("c:kitten~-1", no),
        ("c:kitten~inf", no),
        // edits
        ("c:kitten~", one),
        ("c:kittne~1.9", Some(1.0 - 1.0 / 6.0)),
        ("c:sitten~ ^3", Some(9.0 * (1.0 - 1.0 / 6.0))),
        ("c:sittin~", no),
        ("c:sittin~2", Some(1.0 - 2.0 / 6.0)),
        ("c:sitten~0", no),
        ("c:kitten~0 ^3", Some(9.0)),
        ("b:c~2", no),
        ("five:ab~2", Some(-1.0)),
        // escapes
        ("a:two\\ words", one),
        ("\\b:bar", no),
        ("b:\\bar", no),
        ("b:bar\\", one),
        ("b:bar \\", one),
        ("n:10\\", one),
        // phrases
        ("a:\"two words\"", one),
        ("b:\"b*\"", no),
        ("n:\"10\"", no),
        ("e:\"\"", one),
        ("-party_id:\"\"", no),
    ] {
        check(text, expected);
    }
}

#[test]
fn errors_name_the_place_and_the_reason() {
    let check = |text: &str, position: usize, reason: Reason| {
        assert_eq!(Query::parse(text), Err(QueryError { position, reason }), "{text}");
    };
    for (text, position) in [
        (" ", 1),
        ("\\", 1),
        ("+", 1),
        ("a:", 2),
        ("a:\\", 3),
        (":a", 0),
        ("a::b", 2),
        ("a:b:c", 3),
        ("65:x", 2),
        ("^2 a:b", 0),
        ("a:~1", 2),
        ("a:5~", 3),
        ("a:=5", 2),
        ("a:+5", 2),
        ("a:--5", 3),
        ("a:-x", 3),
        ("a:>x", 3),
        ("a:>=", 4),
        ("a:/", 2),
        ("a:/^b/", 2),
        ("a:b -", 5),
        ("ä:b +", 6),
    ] {
        check(text, position, Reason::Syntax);
    }
    check("a:\"x", 2, Reason::Quote);
    check("a:\"x\\\"", 2, Reason::Quote);
    check(&format!("a:<{}", "9".repeat(400)), 3, Reason::Number);
    check("d:>\"2020-01-01\"", 3, Reason::Date);
    check("d:>\"\"", 3, Reason::Date);
    check("d:>\"0001-01-01T00:00:00Z\"", 3, Reason::Date);
    check("d:>\"9999-01-01T00:00:00Z\"", 3, Reason::Date);
    for boost in ["x", "inf", "nan", "1e999", "1e101", "2^3", "2\t", "\\-\\"] {
        check(&format!("a:b^{boost}"), 3, Reason::Boost);
    }
    for fuzziness in ["x", "1^3", "1e999"] {
        check(&format!("a:b~{fuzziness}"), 3, Reason::Fuzziness);
    }
    check(&"a ".repeat(limits::QUERY_CLAUSES_MAX + 1), 256, Reason::TooManyClauses);
    assert_eq!(parse(&"a ".repeat(128)).clauses().len(), limits::QUERY_CLAUSES_MAX);
    check("a:/((((a{9}){9}){9}){9}){9}/", 2, Reason::PatternTooLarge);
    check("a:/(\\pL{1000}){1000}/", 2, Reason::PatternTooLarge);
    let error = QueryError { position: 2, reason: Reason::Syntax };
    assert_eq!(error.to_string(), "At byte 2 of the query, there is something else than expected.");
}

/// As many expressions as fit into a query of the allowed length, each with a share of the memory.
#[test]
fn a_long_list_of_expressions_fits() {
    let clause = "-properties.blocked:/.*4bd6667a\\-2659\\-4888\\-b245\\-e13690ff4a9b.*/ ";
    let count = limits::MATCHMAKER_QUERY_MAX / clause.len();
    assert_eq!(parse(&clause.repeat(count)).clauses().len(), count);
    let alternatives = vec!["4bd6667a-2659-4888-b245-e13690ff4a9b"; 50].join("|");
    parse(&format!("a:/.*({alternatives}).*/ -b:/\\pL+/ c:/(?i)\\PL*/"));
}

#[test]
fn hostile_texts_are_read_in_little_time() {
    let document = Fields(Label::new("label.a", &Json::Text("a".repeat(10_000))));
    for text in [
        format!("a:/{}b/", "(".repeat(300) + &"a*)*".repeat(300)),
        format!("a:/{}/", "a?".repeat(500) + &"a".repeat(500)),
        format!("a:/{}/", "(a|a)*".repeat(100)),
        format!("a:{}", "a*".repeat(1000)),
        format!("a:{}~2", "a".repeat(2000)),
        format!("a:{}~2", "\u{301}".repeat(1000)),
        "a:/\\".to_owned(),
        "a:/[a-\\/".to_owned(),
        "a:/\\p{\\/".to_owned(),
        "a:/\\x{ffffffffff}/".to_owned(),
        "a:/\\x\u{e4}/".to_owned(),
        "a:/a{99999999999999999999}/".to_owned(),
        "\u{1F600}\\".to_owned(),
        "\0:\0".to_owned(),
        "+-".repeat(1024),
    ] {
        if let Ok(query) = Query::parse(&text) {
            query.score(&document);
        }
    }
}

#[test]
fn case_16_expressions_over_a_text_with_spaces() {
    const BLOCKED: [&str; 3] = [
        "5e1b63d5-5d3a-4c29-9a5c-2c6c6c1f7a01",
        "a0e6c9f2-1f7b-4bb4-8d8a-7b0b3f0d9c02",
        "c3d1f0aa-93c4-4f5e-b1d6-0a9e8d7c6b03",
    ];
    let json = format!(r#"{{"blocked":"{}","game_mode":"foo"}}"#, BLOCKED.join(" "));
    let document = Label::new("properties", &Json::parse(json.as_bytes()).expect("JSON"));
    let check = |name: &str, mode: &str, id: &str, expected: bool| {
        let id = id.replace('-', "\\-");
        let text = format!("+properties.game_mode:{mode} -properties.blocked:/.*{id}.*/");
        assert_eq!(parse(&text).score(&document).is_some(), expected, "16 {name}");
    };
    let stranger = "0f9e8d7c-6b5a-4c3d-8e2f-1a0b9c8d7e04";
    check("a", "foo", BLOCKED[0], false);
    check("b", "foo", BLOCKED[1], false);
    check("c", "foo", BLOCKED[2], false);
    check("d", "bar", stranger, false);
    check("e", "foo", stranger, true);
}

#[test]
fn case_16b_expressions_with_alternatives() {
    let json = br#"{"maps":"map1 map2 some_map other_map","game_mode":"foo"}"#;
    let document = Label::new("properties", &Json::parse(json).expect("JSON"));
    let check = |name: &str, text: &str, expected: bool| {
        assert_eq!(parse(text).score(&document).is_some(), expected, "16b {name}");
    };
    let maps = "+properties.maps:";
    check("a", &format!("+properties.game_mode:foo {maps}/.*(map3|some_map_foo).*/"), false);
    check("b", &format!("+properties.game_mode:bar {maps}/.*(map2|map3).*/"), false);
    check("c", &format!("+properties.game_mode:foo {maps}/.*(map2|map3).*/"), true);
}

#[test]
fn clauses_are_those_of_the_text() {
    let query = parse("+a\\ b:x* -\"c d\"^2 n:<-1.50");
    let [first, second, third] = query.clauses() else { panic!("{query:?}") };
    assert_eq!((first.occur, first.field.as_str(), first.boost), (Occur::Must, "a b", 1.0));
    assert!(matches!(&first.test, Test::Wildcard(pattern) if pattern.text() == "x*"));
    assert_eq!((second.occur, second.field.as_str()), (Occur::MustNot, ALL_FIELDS));
    assert_eq!((&second.test, second.boost), (&Test::Term("c d".into()), 2.0));
    assert_eq!(third.test, Test::Range { bound: Bound::Below, number: -1.5 });
    for text in ["", "*", "a:/[/"] {
        assert_eq!(parse(text).clauses(), []);
        assert_eq!(parse(text).is_all(), text != "a:/[/");
    }
}

#[test]
fn the_canonical_text_is_read_as_the_same() {
    for (text, canonical) in [
        ("", "*"),
        ("*", "*"),
        ("a:/[/", "/[/"),
        ("+properties.mode:ranked", "+properties.mode:\"ranked\""),
        ("a:-2.50^3", "a:-2.50^3"),
        ("a:>-0 b:<=1000000000000000000000000", "a:>-0 b:<=1000000000000000000000000"),
        ("a:>\"2006-01-02T15:04:05+01:00\"", "a:>\"2006-01-02T14:04:05.000000000Z\""),
        ("a:<\"1677-09-21T00:12:44Z\"", "a:<\"1677-09-21T00:12:44.000000000Z\""),
        ("a:/\\^x\\\\./", "a:/x\\\\./"),
        ("-te?t~2 ^.5", "-te\\?t~2 ^0.5"),
        ("_all:x", "\"x\""),
    ] {
        assert_eq!(parse(text).to_string(), canonical);
        assert_eq!(parse(canonical), parse(text));
    }
}

/// Text that is a query more often than not.
fn text() -> impl Strategy<Value = String> {
    let word = "[a-c0-9./*?\\\\:é\"-]{1,6}";
    let value = prop_oneof![
        4 => word,
        2 => "[<>]?=?-?[0-9]{1,4}\\.?[0-9]{0,3}",
        2 => "/[a-c.*|()+?\\\\]{0,8}/",
        1 => "[a-c]{1,5}~[0-3]?",
        1 => "\"[a-c \\\\*]{0,5}\"",
        1 => "[<>]=?\"20[0-9]{2}-0[1-9]-[0-2][0-9]T1[0-9]:[0-5][0-9]:00(\\.[0-9]{1,9})?Z\"",
    ];
    let clause = ("[+-]?", prop::option::of(word), value, "( ?\\^-?[0-9.e]{0,4})?").prop_map(
        |(occur, field, value, boost)| {
            let field = field.map(|field| field + ":").unwrap_or_default();
            format!("{occur}{field}{value}{boost}")
        },
    );
    prop::collection::vec(clause, 1..4).prop_map(|clauses| clauses.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_printed_query_is_read_as_the_same(text in text()) {
        if let Ok(query) = Query::parse(&text) {
            let printed = query.to_string();
            prop_assert_eq!(Query::parse(&printed), Ok(query.clone()), "{}", printed);
            let (before, after) = (query.score(&document()), parse(&printed).score(&document()));
            prop_assert_eq!(before, after);
            prop_assert!(before.is_none_or(f64::is_finite));
        }
    }

    #[test]
    fn no_text_panics(text: String) {
        if let Ok(query) = Query::parse(&text) {
            prop_assert_eq!(Query::parse(&query.to_string()), Ok(query));
        }
    }

    #[test]
    fn ranges_are_those_of_numbers(value: f64, end in -1e6..1e6_f64) {
        for (bound, holds) in [
            (Bound::Above, value.total_cmp(&end).is_gt()),
            (Bound::AtLeast, value.total_cmp(&end).is_ge()),
            (Bound::Below, value.total_cmp(&end).is_lt()),
            (Bound::AtMost, value.total_cmp(&end).is_le()),
        ] {
            let test = Test::Range { bound, number: end };
            prop_assert_eq!(test.accepts(Value::Number(value)), holds);
        }
    }
}
