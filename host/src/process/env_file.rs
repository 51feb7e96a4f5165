//! Env files: what `process.loadEnvFile` and `--env-file` read.
//!
//! A line is `KEY=VALUE`, optionally after `export `. Blanks (space, tab) around the key and around an unquoted value
//! do not count, and `#` outside quotes starts a comment. A value that begins with `'`, `"` or `` ` `` runs to the
//! next one of these, over line ends if need be; what follows the closing quote on its line is ignored. `\n` stands
//! for a line end inside `"` only. A quote that is never closed is taken literally, with the rest of its line.
//! A line without `=` or without a key says nothing. Of equal keys the last one counts.

use std::collections::HashMap;

const BLANKS: [char; 3] = [' ', '\t', '\r'];

/// The variables of an env file, in the order their keys first occur.
pub fn parse(text: &str) -> Vec<(String, String)> {
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    let mut entries: Vec<(String, String)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, _) = split_line(rest);
        let Some((key, after_equals)) = split_key(line, rest) else {
            rest = split_line(rest).1;
            continue;
        };
        let (value, after_value) = take_value(after_equals);
        rest = after_value;
        match places.get(key) {
            Some(&place) => entries[place].1 = value,
            None => {
                places.insert(key.to_owned(), entries.len());
                entries.push((key.to_owned(), value));
            }
        }
    }
    entries
}

/// The first line of `text`, and what comes after its line end.
fn split_line(text: &str) -> (&str, &str) {
    text.split_once('\n').unwrap_or((text, ""))
}

/// The key of the assignment on `line` and all text after its `=`; `text` starts with `line`.
fn split_key<'a>(line: &'a str, text: &'a str) -> Option<(&'a str, &'a str)> {
    let equals = line.find('=')?;
    let key = line[..equals].trim_matches(BLANKS);
    if key.starts_with('#') {
        return None;
    }
    let key = match key.strip_prefix("export") {
        Some(name) if name.starts_with(BLANKS) => name.trim_start_matches(BLANKS),
        _ => key,
    };
    (!key.is_empty()).then_some((key, &text[equals + 1..]))
}

/// The value at the start of `text`, and what comes after the line it ends on.
fn take_value(text: &str) -> (String, &str) {
    let value = text.trim_start_matches(BLANKS);
    let Some(quote) = value.chars().next().filter(|first| matches!(first, '\'' | '"' | '`')) else {
        let (line, rest) = split_line(text);
        let unquoted = line.split('#').next().unwrap_or_default();
        return (unquoted.trim_matches(BLANKS).to_owned(), rest);
    };
    match value[1..].split_once(quote) {
        Some((inside, after)) => {
            let inside = if quote == '"' {
                inside.replace("\\n", "\n")
            } else {
                inside.to_owned()
            };
            (inside, split_line(after).1)
        }
        None => {
            let (line, rest) = split_line(value);
            (line.to_owned(), rest)
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::process::node_oracle;

    fn map(text: &str) -> BTreeMap<String, String> {
        parse(text).into_iter().collect()
    }

    #[track_caller]
    fn check(text: &str, wanted: &[(&str, &str)]) {
        let wanted = wanted
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        assert_eq!(map(text), wanted, "{text:?}");
    }

    /// Inputs that Node 20 and the rules above read alike.
    const AGREED: &[&str] = &[
        "",
        "#",
        "\n",
        "A=1",
        "A=1\nB=2",
        "  A = 1 ",
        "export A=1",
        "exportA=1",
        "export =1",
        "export export A=1",
        "A=\"x y\" # c",
        "A=x#c",
        "A=x # c",
        "#A=1\nB=2",
        "  # c\nA=1",
        "A=\"a\\nb\"",
        "A='a\\nb'",
        "A=`a\\nb`",
        "A=\\n",
        "A=\"\\t\\\\\"",
        "A=\"l1\nl2\"\nB=3",
        "A='l1\nl2'\nB=3",
        "A=`l1\nl2`\nB=3",
        "A=\"l1 # no comment\nl2\"\nB=3",
        "A=\"unclosed\nB=2",
        "A=\"unclosed # x  \nB=2",
        "A=`x\nB=1",
        "A=\"x\nB='y'\n",
        "A=\"x\nB=\"y\"\nC=1",
        "A=",
        "A=\nB=1",
        "A= \nB=1",
        "A=  # c\nB=1",
        "A=#\nB=1",
        "A B=1\nC=2",
        "A=a=b",
        "A==",
        "A= =b",
        "A=\"a\"b\nC=1",
        "A=\"a\" B=3\nC=1",
        "A='a\"b'",
        "A=\"a'b\"",
        "A=`a\"b'c`",
        "A=\r\nB=2\r\n",
        "A=\"x\r\ny\"",
        "A=1\n\n\nB=2",
        "A=a b c",
        "A=$B",
        "A=\"a\\\"b\"\nC=1",
        "A=1\nA=2",
        "A=\"\"\nB=2",
        "A=''",
        "A=\"#x\"",
        "A= \"x\" ",
        "A='x'#c\nB=1",
        "A.b-c=1",
        "1A=1",
        "\n\n  A=1",
        "A=1 \n  B=2",
        "A=\"\n\"\nB=1",
        "A=é\nÜ=ß",
        "\"A\"=1",
        "A=\"x\" # \"c\"\nB=1",
        "A=x\"y\"\nB=1",
        "A=1\n# no newline end",
        "A=1\n   ",
        "A=\" x \"",
        "A= ' x ' ",
        "A=\u{b}1\u{c}",
        "B=2\nnoeq",
        "#c=\"\nA=1",
    ];

    #[test]
    fn agreed_inputs_read_as_in_node() {
        let script = "const u = require('util');\
            console.log(JSON.stringify(JSON.parse(process.argv[1]).map((text) => u.parseEnv(text))))";
        let Some(output) = node_oracle::run(script, &[&serde_json::to_string(AGREED).unwrap()]) else {
            return;
        };
        let node: Vec<BTreeMap<String, String>> = serde_json::from_str(&output).unwrap();
        assert_eq!(node.len(), AGREED.len());
        for (text, node) in AGREED.iter().zip(node) {
            assert_eq!(map(text), node, "{text:?}");
        }
    }

    /// Where Node 20.20 does something else, said after each.
    #[test]
    fn odd_inputs_follow_the_rules_where_node_does_not() {
        check("export   A=1", &[("A", "1")]); // keeps two blanks in the key
        check("A=\t1\t\nB\t=\t2", &[("A", "1"), ("B", "2")]); // trims spaces, not tabs
        check("export\tA=1", &[("A", "1")]); // likewise
        check("A='unclosed", &[("A", "'unclosed")]); // drops it on a last line without line end
        check("A=\"unclosed", &[("A", "\"unclosed")]); // likewise
        check("=1\nB=2", &[("B", "2")]); // stops reading
        check("A\nB=1", &[("B", "1")]); // a key "A\nB"
        check("A:1\nB=2", &[("B", "2")]); // likewise
        check("#c=1", &[]); // a key "#c" on a last line without line end
        check("A=1 # \"x\ny\"\nB=2", &[("A", "1"), ("B", "2")]); // a key "y\"\nB"
        check("\u{feff}A=1", &[("A", "1")]); // the byte order mark is part of the key
        check("A=x\"y\nz\"\nB=1", &[("A", "x\"y"), ("B", "1")]); // a key "z\"\nB"
    }

    #[test]
    fn the_syntax_is_that_of_the_documentation() {
        check("export A = x y # note\n", &[("A", "x y")]);
        check(
            "A=\"one\\ntwo\"\nB='one\\ntwo'",
            &[("A", "one\ntwo"), ("B", "one\\ntwo")],
        );
        check("A=`line\nline` rest\nB=1", &[("A", "line\nline"), ("B", "1")]);
        check("A=\"open # still\nB=2", &[("A", "\"open # still"), ("B", "2")]);
        assert_eq!(
            parse("B=1\nA=2\nB=3"),
            [("B".to_owned(), "3".to_owned()), ("A".to_owned(), "2".to_owned())]
        );
    }
}
