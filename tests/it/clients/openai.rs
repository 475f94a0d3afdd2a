//! The openai SDK of Python through an `llm` entry: whole, streaming, refused.

use super::python::KEY;
use super::servers::{Server, Tls, python};
use crate::cli::home::{Home, done, fed};

fn lab() -> Option<(Home, Server)> {
    let home = Home::new();
    let tls = Tls::new(&home, &["api.openai.com"]);
    let llm = Server::llm(&home, &tls, KEY)?;
    let text = format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\ncatalogue = false\n[upstream]\nroots = [\"{}\"]\n\
         resolve = {{ \"api.openai.com:443\" = \"127.0.0.1:{}\" }}\nprivate_addresses = [\"127.0.0.1/32\"]\n\
         [enclave.lab]\nagents = [\"*\"]\n[enclave.lab.llm.openai]\napi = \"openai\"\n\
         host = \"api.openai.com\"\nmodels = [\"gpt-x\"]\ncredential = \"openai\"\n[credential.openai]\nslot = \"bearer\"\n\
         hosts = [\"api.openai.com\"]\nplaceholder = \"sk-proj-\"\nenv = \"OPENAI_API_KEY\"\n",
        tls.roots.display(),
        llm.port
    );
    home.write("ensage-lab.toml", &text);
    assert_eq!(fed(&mut home.ensage(&["creds", "add", "openai"]), KEY.as_bytes()).code, Some(0));
    Some((home, llm))
}

#[test]
fn the_openai_sdk_works_with_a_placeholder() {
    let Some((home, llm)) = lab() else { return };
    let script = "import os, openai\n\
        assert os.environ['OPENAI_API_KEY'].startswith('sk-proj-ens_')\n\
        c = openai.OpenAI(max_retries=0, timeout=20)\n\
        chat = dict(model='gpt-x', messages=[{'role': 'user', 'content': 'hi [[say:WELL]]'}])\n\
        print(c.chat.completions.create(**chat).choices[0].message.content)\n\
        print(''.join(p.choices[0].delta.content or '' for p in c.chat.completions.create(stream=True, **chat) if p.choices))\n\
        ask = dict(model='gpt-x', input='hi [[say:WELL]]')\n\
        print(c.responses.create(**ask).output_text)\n\
        last = list(c.responses.create(stream=True, **ask))[-1]\n\
        print(last.type, last.response.output_text)\n\
        print(c.models.list().data[0].id)\n\
        c = openai.OpenAI(timeout=20)\n\
        try: c.files.list()\n\
        except openai.PermissionDeniedError as e: print(e.status_code, e.response.json()['reason'])\n\
        try: c.chat.completions.create(**{**chat, 'model': 'gpt-y'})\n\
        except openai.BadRequestError as e: print(e.status_code, e.code, e.body['message'])\n\
        try: c.responses.create(**{**ask, 'model': 'gpt-y'})\n\
        except openai.BadRequestError as e: print(e.status_code, e.code, e.body['ensage']['reason'])\n\
        events = list(c.responses.create(stream=True, **{**ask, 'model': 'gpt-y'}))\n\
        print([e.type for e in events], events[0].response.error.code, events[0].response.error.message)\n\
        first = c.responses.create(**ask)\n\
        print(c.responses.create(previous_response_id=first.id, **ask).output_text)\n\
        try: c.responses.create(previous_response_id='resp_theirs', **ask)\n\
        except openai.BadRequestError as e: print(e.status_code, e.code)\n\
        tool = dict(type='function', name='look', parameters={'type': 'object', 'properties': {}}, strict=False)\n\
        call = dict(model='gpt-x', input='hi [[tool:look {}]]', tools=[tool])\n\
        print(c.responses.create(**call).output[0].name)\n\
        call = dict(model='gpt-x', messages=[{'role': 'user', 'content': 'hi [[tool:look {}]]'}], tools=[{'type': 'function', 'function': {'name': 'look'}}])\n\
        print(c.chat.completions.create(**call).choices[0].message.tool_calls[0].function.name)\n";
    let Some(python) = python() else { return };
    let words = ["run", "--advisory", "--enclave", "lab", "--", python.to_str().unwrap(), "-c", script];
    let seen = done(&mut home.ensage(&words));
    assert_eq!(seen.code, Some(0), "{seen:?}");
    let told = "WELL\nWELL\nWELL\nresponse.completed WELL\nclaude-fake-1\n403 llm_path_not_allowed\n\
                400 model_not_allowed the model gpt-y is not allowed; use another one\n400 model_not_allowed model_not_allowed\n\
                ['response.failed'] invalid_prompt the model gpt-y is not allowed; use another one\n\
                WELL\n400 stored_id_not_allowed\nlook\nlook\n";
    assert_eq!(seen.out, told, "{seen:?}");

    let arrived = llm.log();
    assert_eq!(arrived.len(), 9, "{arrived:?}");
    for request in &arrived {
        assert_eq!((&request["cred_kind"], &request["cred"]), (&"bearer".into(), &KEY.into()), "{request}");
        assert!(!request.to_string().contains("ens_"), "{request}");
    }
    let calls = home.calls();
    let told: Vec<_> = calls
        .iter()
        .map(|c| format!("{} {} {}", c["url"]["path"].as_str().unwrap(), c["decision"], c["credential"]["action"]))
        .collect();
    let allowed = |path: &str| format!("{path} \"allow\" \"substituted\"");
    let [chat, responses] = [allowed("/v1/chat/completions"), allowed("/v1/responses")];
    assert_eq!(told[..5], [chat.clone(), chat, responses.clone(), responses, allowed("/v1/models")]);
    let refused: Vec<_> =
        calls.iter().filter(|c| c["decision"] == "deny").map(|c| c["reason"].as_str().unwrap()).collect();
    // Once each: the SDK does not try again.
    let models = ["model_not_allowed"; 3];
    assert_eq!(refused, [&["llm_path_not_allowed"][..], &models, &["stored_id_not_allowed"]].concat());
    let read: Vec<_> = calls.iter().filter(|c| c["gen_ai"]["usage"]["output_tokens"].is_u64()).collect();
    assert!(read.len() >= 7 && read.iter().all(|c| c["gen_ai"]["request"]["model"] == "gpt-x"), "{calls:?}");
    let requested: Vec<_> = calls.iter().filter(|c| c["tools_requested"] == serde_json::json!(["look"])).collect();
    assert_eq!(requested.len(), 2, "{calls:?}");
    let all: String = calls.iter().map(ToString::to_string).collect();
    assert!(!all.contains(KEY) && !all.contains("ens_") && !seen.err.contains(KEY));
}
