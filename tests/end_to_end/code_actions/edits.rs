//! What is edited, and when it is not.

use serde_json::json;

use super::{
    TEXT, answer, applied, editor, message, progress, quiet, range, run, until_progress_ends,
};
use crate::{URI, scripted_for};

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
