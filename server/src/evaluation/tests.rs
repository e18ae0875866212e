//! Scores, the grouping of the report, and the reading of cases.

use std::time::Duration;

use super::*;

fn case(kind: Kind, middle: &str, project: &str) -> Case {
    Case {
        path: "src/lib.rs".to_owned(),
        language: "rust".to_owned(),
        kind,
        prefix: "fn f() {\n    ".to_owned(),
        middle: middle.to_owned(),
        suffix: "\n}\n".to_owned(),
        project: Some(project.to_owned()),
    }
}

fn score(middle: &str, answer: &str) -> Score {
    Score::of(&case(Kind::Line, middle, "a"), &shown(answer))
}

/// An answer of which the model is half sure, and that is shown.
fn shown(text: &str) -> Answer {
    Answer {
        echo: String::new(),
        text: text.to_owned(),
        shown: if text.is_empty() {
            Err(Silence::Nothing)
        } else {
            Ok(text.to_owned())
        },
        confidence: Some(Confidence {
            product: 0.5,
            minimum: 0.5,
            mean: 0.5,
            first: 0.5,
            echo: 0.0,
        }),
        others: vec!["value".to_owned()],
        log_probs: vec![-0.693],
        latency: Duration::ZERO,
    }
}

#[test]
fn white_space_at_line_ends_does_not_count() {
    assert!(score("let a = 1;", "let a = 1;  \n").exact);
    assert!(score("a;\nb;", "a; \nb;").exact);
    assert!(!score("a;\n  b;", "a;\nb;").exact);
}

#[test]
fn scores_tell_how_close_an_answer_is() {
    let near = score("return None;", "return Some;");
    assert!(!near.exact && !near.empty);
    assert_eq!((near.saved_chars, near.middle_chars), (7, 12));
    assert!((near.edit_similarity - 10.0 / 12.0).abs() < 1e-9);
    let longer = score("a();", "a();\nb();");
    assert!(longer.first_line_exact && !longer.exact);
    let none = score("a();", "");
    assert!(none.empty && none.edit_similarity == 0.0 && !none.first_line_exact);
}

#[test]
fn trivial_cases_are_short_or_comments() {
    for (middle, trivial) in [
        ("}", true),
        ("x1;", true),
        ("// says nothing", true),
        ("/// a\n/// b", true),
        ("/// a\nlet b = c;", false),
        ("*a = bcd;", false),
        ("abc", false),
    ] {
        assert_eq!(
            is_trivial(&case(Kind::Line, middle, "a")),
            trivial,
            "{middle}"
        );
    }
}

#[test]
fn a_report_groups_by_language_and_kind_and_clusters_by_project() {
    let cases: Vec<_> = (0..40)
        .map(|i| {
            let kind = if i < 30 { Kind::Line } else { Kind::Block };
            case(kind, "value", if i % 2 == 0 { "even" } else { "odd" })
        })
        .collect();
    let scored = cases.iter().enumerate().map(|(i, case)| {
        let answer = if i % 2 == 0 { "value" } else { "other" };
        (
            case,
            Score::of(case, &shown(answer)),
            Duration::from_millis(i as u64),
        )
    });
    let report = Report::new(scored);
    let [line, block] = report.groups.as_slice() else {
        panic!("two groups: {report:?}");
    };
    assert_eq!((line.kind, block.kind), (Kind::Line, Kind::Block));
    assert_eq!((line.projects, line.all.cases), (2, 30));
    assert!((line.all.exact_match - 0.5).abs() < 1e-9);
    // With two projects, one all right and one all wrong, nothing is known.
    assert_eq!((line.all.interval.low, line.all.interval.high), (0.0, 1.0));
    assert_eq!(line.p50, Duration::from_millis(14));
    assert_eq!(line.p95, Duration::from_millis(28));
    let several = report.several;
    assert_eq!((several.others, several.first), (1.0, 0.5));
    assert!((several.any - 1.0).abs() < 1e-9);
    let csv = report.to_csv();
    let rows: Vec<_> = csv.lines().map(|row| row.split(',').count()).collect();
    assert_eq!(rows, [22, 22, 22]);
}

#[test]
fn folders_hold_cases_by_line_and_by_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let json = r#"{"path":"a.rs","language":"rust","kind":"line-rest","prefix":"p","middle":"m","suffix":"s"}"#;
    let write =
        |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
    assert!(matches!(
        read_folder(folder.path()),
        Err(CaseError::Empty { .. })
    ));
    write("b.jsonl", &format!("{json}\n\n{json}\n"));
    write("a.json", &json.replace("line-rest", "block"));
    write("README.md", "not a case");
    let cases = read_folder(folder.path()).expect("cases");
    let kinds: Vec<_> = cases.iter().map(|case| case.kind).collect();
    assert_eq!(kinds, [Kind::Block, Kind::LineRest, Kind::LineRest]);
    write("c.jsonl", &format!("{json}\n{{\"path\":\"x\"}}\n"));
    let error = read_folder(folder.path()).expect_err("a broken line");
    assert!(error.to_string().contains("c.jsonl:2"), "{error}");
}
