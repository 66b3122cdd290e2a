//! The expressions of rule files and dashboards, read line by line: this package has no parser for YAML and JSON, and
//! the files are ours.

/// Prefixes of what a pool's daemons and rules expose.
const PREFIXES: [&str; 3] = ["rserpool_", "ipfix_", "process_"];

/// What Grafana replaces in expressions, and what stands there for a pool that runs since a few seconds.
const VARIABLES: [(&str, &str); 3] = [("$__rate_interval", "20s"), ("$__range", "1m"), ("$instance", ".*")];

/// Returns the values of the key `expr` in a rule file: on its line, or as a block after `|`.
pub(super) fn of_rules(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(value) = line.trim_start().strip_prefix("expr: ") else { continue };
        if value != "|" {
            let quoted = value.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
            found.push(quoted.map_or(value.to_owned(), |inside| inside.replace("''", "'")));
            continue;
        }
        let (mut block, margin) = (String::new(), indentation(line));
        while let Some(next) = lines.next_if(|next| next.trim().is_empty() || indentation(next) > margin) {
            block.push_str(next.trim());
            block.push(' ');
        }
        found.push(block.trim().to_owned());
    }
    found
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Returns the expressions of a dashboard's panels, its variables replaced.
pub(super) fn of_dashboard(text: &str) -> Vec<String> {
    strings(text, "expr").map(|expression| replaced(&expression)).collect()
}

/// Returns the metrics that a dashboard's variables take their values from.
pub(super) fn variables_of(text: &str) -> Vec<String> {
    let queries = strings(text, "query");
    queries
        .filter_map(|query| Some(query.strip_prefix("label_values(")?.split_once(',')?.0.to_owned()))
        .collect()
}

/// The values of a key of JSON with a line for each key, where they are strings.
fn strings<'a>(text: &'a str, key: &str) -> impl Iterator<Item = String> + 'a {
    let begin = format!("\"{key}\": \"");
    text.lines().filter_map(move |line| {
        let value = line.trim().strip_prefix(&begin)?;
        let value = value.trim_end_matches(',').strip_suffix('"')?;
        Some(value.replace("\\\"", "\"").replace("\\\\", "\\"))
    })
}

fn replaced(expression: &str) -> String {
    VARIABLES.iter().fold(expression.to_owned(), |text, (variable, value)| text.replace(variable, value))
}

/// Returns every selector of a metric of ours: its name, and its matchers where there are some.
pub(super) fn selectors(expression: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(begin) = rest.find(is_name) {
        let tail = &rest[begin..];
        let name = &tail[..tail.find(|c| !is_name(c)).unwrap_or(tail.len())];
        rest = &tail[name.len()..];
        let matchers = match rest.strip_prefix('{').and_then(|inside| inside.find('}')) {
            Some(end) => &rest[..end + 2],
            None => "",
        };
        rest = &rest[matchers.len()..];
        if name == "up" || name.contains(':') || PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
            found.push(format!("{name}{matchers}"));
        }
    }
    found
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_have_expressions_on_a_line_and_in_blocks() {
        let text = "- record: a\n  expr: sum(b)\n- record: c\n  expr: |\n    d\n    / e\n- alert: f\n  expr: 'g == 0'\n";
        assert_eq!(of_rules(text), ["sum(b)", "d / e", "g == 0"]);
    }

    #[test]
    fn dashboards_have_expressions_with_variables() {
        let text =
            "  \"expr\": \"rate(a{instance=~\\\"$instance\\\"}[$__rate_interval])\",\n  \"title\": \"b\"";
        assert_eq!(of_dashboard(text), ["rate(a{instance=~\".*\"}[20s])"]);
    }

    #[test]
    fn selectors_are_names_of_ours_with_their_matchers() {
        let expression =
            "sum by (pool) (rserpool_pools{pool=\"a\"}) > 0 and on () count(up) + instance:x:ratio";
        assert_eq!(selectors(expression), ["rserpool_pools{pool=\"a\"}", "up", "instance:x:ratio"]);
    }
}
