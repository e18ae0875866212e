//! What comes as text: explanations, code for clients without edits, tests in files of their own.

use carat_tests::Client;
use serde_json::json;

use super::{TEXT, answer, message, quiet, range, run};
use crate::{URI, scripted_for};

#[test]
fn a_client_that_cannot_be_edited_gets_the_code_to_read() {
    let script = json!({ "answers": ["() {\n    c();\n}\n```"] });
    let Some(mut server) = scripted_for(&Client::inline(), &script, TEXT) else {
        return;
    };
    run(
        &mut server,
        "carat.refactor",
        &range((5, 4), (5, 4)),
        &json!({}),
    );
    let said = message(&mut server);
    assert!(
        said.contains("does not let servers edit") && said.contains("    c();"),
        "{said}"
    );
}

#[test]
fn an_explanation_is_a_file_that_goes_with_the_server() {
    let script = json!({ "answers": ["It calls `a`."] });
    let Some(mut server) = scripted_for(&quiet(), &script, TEXT) else {
        return;
    };
    run(
        &mut server,
        "carat.explain",
        &range((1, 4), (1, 4)),
        &json!({}),
    );
    let request = server.notification("window/showDocument");
    let uri = request["params"]["uri"].as_str().expect("a uri").to_owned();
    let path = uri.strip_prefix("file://").expect("a file").to_owned();
    let text = std::fs::read_to_string(&path).expect("the file");
    assert!(
        text.starts_with("# Explaining a.rs\n") && text.contains("It calls `a`."),
        "{text}"
    );
    answer(&mut server, &request, &json!({ "success": true }));
    drop(server);
    assert!(!std::path::Path::new(&path).exists());
}

#[test]
fn an_explanation_goes_to_the_clients_own_view_or_into_a_message() {
    let script = json!({ "answers": ["It calls `a`."] });
    let mut client = quiet();
    client.params["capabilities"]["experimental"] = json!({ "carat": { "explanation": true } });
    let Some(mut server) = scripted_for(&client, &script, TEXT) else {
        return;
    };
    run(
        &mut server,
        "carat.explain",
        &range((1, 4), (1, 4)),
        &json!({}),
    );
    let params = server.notification("carat/explanation")["params"].clone();
    assert_eq!(params["markdown"], "It calls `a`.");
    assert_eq!(
        (&params["uri"], &params["range"]),
        (&json!(URI), &range((1, 4), (1, 4)))
    );

    let Some(mut server) = scripted_for(&Client::inline(), &script, TEXT) else {
        return;
    };
    run(
        &mut server,
        "carat.explain",
        &range((1, 4), (1, 4)),
        &json!({}),
    );
    assert!(message(&mut server).contains("It calls `a`."));
}

#[test]
fn tests_in_a_file_of_their_own_create_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let uri = format!("file://{}/shape.py", folder.path().display());
    let mut client = quiet();
    client.params["capabilities"]["workspace"]["workspaceEdit"]["resourceOperations"] =
        json!(["create"]);
    let script = json!({ "answers": ["def test_f():\n    assert f() == 1\n```"] });
    let Some(mut server) = scripted_for(&client, &script, TEXT) else {
        return;
    };
    server.open(&uri, "python", "def f():\n    return 1\n");
    let argument = json!({ "uri": uri, "range": range((1, 4), (1, 4)) });
    let params = json!({ "command": "carat.writeTests", "arguments": [argument] });
    server.ask("workspace/executeCommand", &params);
    let request = server.notification("workspace/applyEdit");
    let changes = request["params"]["edit"]["documentChanges"].clone();
    let new = format!("file://{}/test_shape.py", folder.path().display());
    // It is opened once it is there.
    std::fs::write(folder.path().join("test_shape.py"), "").expect("a file");
    answer(&mut server, &request, &json!({ "applied": true }));
    let request = server.notification("window/showDocument");
    assert_eq!(request["params"]["uri"], new);
    answer(&mut server, &request, &json!({ "success": true }));
    assert_eq!(
        (&changes[0]["kind"], &changes[0]["uri"]),
        (&json!("create"), &json!(new))
    );
    assert_eq!(
        changes[1]["edits"][0]["newText"],
        "def test_f():\n    assert f() == 1\n"
    );
    // What is there already is not touched: the text is shown, in a file of its own.
    server.ask("workspace/executeCommand", &params);
    let request = server.notification("window/showDocument");
    assert_ne!(request["params"]["uri"], new);
    answer(&mut server, &request, &json!({ "success": true }));
}
