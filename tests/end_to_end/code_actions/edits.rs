//! What is edited, and when it is not.

use serde_json::json;

use super::{
    TEXT, answer, applied, edited, editor, message, progress, quiet, range, run,
    until_progress_ends,
};
use crate::{URI, activity, scripted_for};

#[test]
fn a_rewritten_item_is_applied_with_progress_and_a_version() {
    let script =
        json!({ "answers": ["() {\n    b();\n    c();\n}\n```\nDone."], "ms_per_token": 5 });
    let Some(mut server) = scripted_for(&editor(), &script, TEXT) else {
        return;
    };
    run(
        &mut server,
        "carat.refactor",
        &range((5, 4), (5, 4)),
        &json!({ "instruction": "call c" }),
    );
    let token = progress(&mut server);
    let (kinds, _) = until_progress_ends(&mut server, &token);
    assert_eq!(kinds.first().map(String::as_str), Some("begin"));
    let params = applied(&mut server);
    let change = &params["edit"]["documentChanges"][0];
    assert_eq!(change["textDocument"], json!({ "uri": URI, "version": 0 }));
    // Only what differs is replaced.
    assert_eq!(
        change["edits"],
        json!([{ "range": range((6, 0), (6, 0)), "newText": "    c();\n" }])
    );
}

#[test]
fn a_client_with_annotations_is_asked_to_confirm() {
    let mut client = quiet();
    client.params["capabilities"]["workspace"]["workspaceEdit"]["changeAnnotationSupport"] =
        json!({});
    let script = json!({ "answers": ["() {}\n```"] });
    let Some(mut server) = scripted_for(&client, &script, TEXT) else {
        return;
    };
    run(
        &mut server,
        "carat.refactor",
        &range((5, 4), (5, 4)),
        &json!({}),
    );
    let edit = applied(&mut server)["edit"].clone();
    let id = edit["documentChanges"][0]["edits"][0]["annotationId"]
        .as_str()
        .expect("an annotation");
    assert_eq!(edit["changeAnnotations"][id]["needsConfirmation"], true);
}

#[test]
fn edits_elsewhere_move_the_change_and_edits_inside_refuse_it() {
    let script = json!({ "answers": ["() {\n    c();\n}\n```"], "answer_prefill_ms": 600 });
    let Some(mut server) = scripted_for(&quiet(), &script, TEXT) else {
        return;
    };
    run(
        &mut server,
        "carat.refactor",
        &range((5, 4), (5, 4)),
        &json!({}),
    );
    server.change(URI, 1, Some((0, 0)..(0, 0)), "// new\n");
    let change = applied(&mut server)["edit"]["documentChanges"][0].clone();
    assert_eq!(change["textDocument"]["version"], 1);
    assert_eq!(
        edited(&format!("// new\n{TEXT}"), &change["edits"]),
        format!("// new\n{}", TEXT.replace("b();", "c();"))
    );

    run(
        &mut server,
        "carat.refactor",
        &range((6, 4), (6, 4)),
        &json!({}),
    );
    server.change(URI, 2, Some((6, 4)..(6, 5)), "x");
    let said = message(&mut server);
    assert!(said.contains("was edited while"), "{said}");
}

#[test]
fn a_client_that_refuses_the_edit_is_told_so() {
    let script = json!({ "answers": ["() {\n    c();\n}\n```"] });
    let Some(mut server) = scripted_for(&quiet(), &script, TEXT) else {
        return;
    };
    run(
        &mut server,
        "carat.refactor",
        &range((5, 4), (5, 4)),
        &json!({}),
    );
    let request = server.notification("workspace/applyEdit");
    answer(
        &mut server,
        &request,
        &json!({ "applied": false, "failureReason": "outdated" }),
    );
    let said = message(&mut server);
    assert!(
        said.contains("did not apply") && said.contains("outdated"),
        "{said}"
    );
}

#[test]
fn an_answer_that_cannot_be_used_is_asked_for_once_more() {
    let script = json!({ "answers": ["() {\n    c(;\n}\n```", "() {\n    c();\n}\n```"] });
    let Some(mut server) = scripted_for(&quiet(), &script, TEXT) else {
        return;
    };
    let before = activity(&mut server)["generations"]
        .as_u64()
        .expect("a count");
    run(
        &mut server,
        "carat.refactor",
        &range((5, 4), (5, 4)),
        &json!({}),
    );
    let change = applied(&mut server)["edit"]["documentChanges"][0].clone();
    assert_eq!(edited(TEXT, &change["edits"]), TEXT.replace("b();", "c();"));
    assert_eq!(activity(&mut server)["generations"], before + 2);
}

#[test]
fn two_answers_that_cannot_be_used_are_reported() {
    let script = json!({ "answers": ["() {\n    c(;\n}\n```", "() {\n    // ... existing code ...\n}\n```"] });
    let Some(mut server) = scripted_for(&quiet(), &script, TEXT) else {
        return;
    };
    let before = activity(&mut server)["generations"]
        .as_u64()
        .expect("a count");
    run(
        &mut server,
        "carat.refactor",
        &range((5, 4), (5, 4)),
        &json!({}),
    );
    let said = message(&mut server);
    assert!(
        said.contains("leaves code out") && said.contains("nothing was changed"),
        "{said}"
    );
    assert_eq!(activity(&mut server)["generations"], before + 2);
}

#[test]
fn selections_after_emoji_are_right() {
    let text = "const F: &str = \"\u{1F600}\u{1F600}\"; fn g() { let x = \"\u{1F600}\"; h(); }\n";
    let script = json!({ "answers": ["() { i(); }\n```"] });
    let Some(mut server) = scripted_for(&quiet(), &script, text) else {
        return;
    };
    // In bytes this column would lie in the constant.
    let column = text[..text.find("h();").expect("h")].encode_utf16().count() as u32;
    run(
        &mut server,
        "carat.refactor",
        &range((0, column), (0, column)),
        &json!({ "instruction": "call i" }),
    );
    let change = applied(&mut server)["edit"]["documentChanges"][0].clone();
    let expected = "const F: &str = \"\u{1F600}\u{1F600}\"; fn g() { i(); }\n";
    assert_eq!(edited(text, &change["edits"]), expected);
}

#[test]
fn files_with_crlf_keep_it() {
    let text = TEXT.replace('\n', "\r\n");
    let script = json!({ "answers": ["() {\n    b();\n    c();\n}\n```"] });
    let Some(mut server) = scripted_for(&quiet(), &script, &text) else {
        return;
    };
    run(
        &mut server,
        "carat.refactor",
        &range((5, 4), (5, 4)),
        &json!({}),
    );
    let change = applied(&mut server)["edit"]["documentChanges"][0].clone();
    let expected = text.replace("b();\r\n", "b();\r\n    c();\r\n");
    assert_eq!(edited(&text, &change["edits"]), expected);
}
