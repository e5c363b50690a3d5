//! Every workflow that the documentation of the language shows compiles to what the text beside
//! it says, and the one it shows as wrong is refused as it says.

use libloom_contract::graph::{Graph, Node, Outcome, Provider, ScriptSection};
use libloom_testkit::{Repo, Sandbox};
use predicates::str::contains;

/// Compiles one document; examples of jobs alone get the head that every workflow has.
fn graph(repo: &Repo<'_>, example: &str) -> Graph {
    let head = if example.contains("version:") { "" } else { "version: v1\nstages: [ci]\n" };
    repo.workflow(&format!("{head}{example}"));
    let output = repo.command("loom-compile").assert().success().get_output().stdout.clone();
    serde_json::from_slice(&output).unwrap()
}

/// The only job of an example.
fn job(repo: &Repo<'_>, example: &str) -> Node {
    let graph = graph(repo, example);
    assert_eq!((graph.nodes.len(), graph.stages), (1, vec!["ci".to_owned()]), "{example}");
    graph.nodes.into_iter().next().unwrap()
}

fn commands(node: &Node) -> Vec<&str> {
    assert!(node.steps.iter().all(|step| step.section == ScriptSection::Script));
    node.steps.iter().map(|step| &*step.command).collect()
}

fn image(node: &Node) -> Option<&str> {
    node.image.as_ref().and_then(|image| image.name.as_deref())
}

#[test]
fn jobs_without_an_image_run_on_the_host() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    let lint = job(
        &repo,
        "lint:
  stage: ci
  target: linux
  script:
    - task lint
",
    );
    assert_eq!((&*lint.id, &*lint.stage, &*lint.target), ("lint", "ci", "linux"));
    assert_eq!(
        (lint.provider, image(&lint), commands(&lint)),
        (Provider::Host, None, vec!["task lint"])
    );

    let lint = job(
        &repo,
        "version: v1
stages: [ci]

lint:
  stage: ci
  target: linux
  script:
    - golangci-lint run ./...
",
    );
    assert_eq!((lint.provider, commands(&lint)), (Provider::Host, vec!["golangci-lint run ./..."]));

    // Each entry is a single command.
    let good = job(
        &repo,
        "# GOOD
good:
  stage: ci
  target: linux
  script:
    - echo \"first command\"
    - echo \"second command\"
",
    );
    assert_eq!(commands(&good), ["echo \"first command\"", "echo \"second command\""]);
    let numbers: Vec<u32> = good.steps.iter().map(|step| step.number).collect();
    assert_eq!(numbers, [1, 2]);

    let portable = job(
        &repo,
        "a:
  stage: ci
  script:
    - printf '%s\\n' \"$MY_VAR\"
",
    );
    assert_eq!(commands(&portable), ["printf '%s\\n' \"$MY_VAR\""]);
}

#[test]
fn multiline_blocks_are_refused_with_the_documented_words() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.workflow(
        "version: v1
stages: [ci]
# BAD: will not validate
bad:
  stage: ci
  target: linux
  script:
    - |
      echo \"this has a newline\"
      echo \"and will not validate\"
",
    );
    let told = ".loom/workflow.yml:9:7: WF_SCHEMA_V1 /bad/script/0: newline in command; use separate list entries\n";
    let mut check = repo.command("loom-check");
    check.args(["--format", "short"]).assert().code(1).stderr(contains(told));
    repo.command("loom-compile").assert().code(1).stdout("").stderr(contains("newline in command"));
}

#[test]
fn jobs_with_an_image_run_in_docker() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    let test = job(
        &repo,
        "test:
  stage: ci
  target: linux
  image: alpine:3.20
  script:
    - echo \"running in container\"
",
    );
    assert_eq!((test.provider, image(&test)), (Provider::Docker, Some("alpine:3.20")));
    assert_eq!(commands(&test), ["echo \"running in container\""]);

    let test = job(
        &repo,
        "version: v1
stages: [ci]

test:
  stage: ci
  target: linux
  image: golang:1.22
  script:
    - go test ./...
",
    );
    assert_eq!((test.provider, image(&test)), (Provider::Docker, Some("golang:1.22")));

    let owner = job(
        &repo,
        "build:
  stage: ci
  image: alpine:3.20
  script:
    - make build
    - chown -R \"$(stat -c '%u:%g' .)\" /workspace/dist
",
    );
    assert_eq!(commands(&owner)[1], "chown -R \"$(stat -c '%u:%g' .)\" /workspace/dist");
}

#[test]
fn images_are_built_from_the_folder_of_the_workflow_or_of_the_repository() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    let example = "build-and-run:
  stage: ci
  target: linux
  image:
    name: my-org/custom-ci
    build:
      context: .
      dockerfile: Dockerfile.ci
  script:
    - echo \"running in the freshly built image\"
";
    let build = |node: &Node| node.image.clone().unwrap().build.unwrap();
    repo.write("Dockerfile.ci", "FROM alpine:3.20\n");
    let at_root = job(&repo, example);
    assert_eq!((&*at_root.id, image(&at_root)), ("build-and-run", Some("my-org/custom-ci")));
    assert_eq!((at_root.provider, &*build(&at_root).context), (Provider::Docker, "."));
    assert_eq!(build(&at_root).dockerfile, "Dockerfile.ci");
    repo.write(".loom/Dockerfile.ci", "FROM alpine:3.20\n");
    assert_eq!(build(&job(&repo, example)).context, ".loom");

    // With image.build and an empty script, the image is built and nothing is executed.
    let output = example
        .replace(
            "Dockerfile.ci\n",
            "Dockerfile.ci\n      output: type=docker,dest=/tmp/image.tar\n",
        )
        .replace("script:\n    - echo \"running in the freshly built image\"", "script: []");
    let only_built = job(&repo, &output);
    assert_eq!(build(&only_built).output.as_deref(), Some("type=docker,dest=/tmp/image.tar"));
    assert!(only_built.steps.is_empty());
}

#[test]
fn services_and_artifacts_are_what_the_example_declares() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    let integration = job(
        &repo,
        "integration:
  stage: ci
  target: linux
  image: node:20-alpine
  services:
    - name: postgres:16
      alias: db
      variables:
        POSTGRES_DB: testdb
        POSTGRES_USER: runner
        POSTGRES_PASSWORD: secret
  script:
    - npm run test:integration
",
    );
    let [service] = integration.services.as_slice() else { panic!("{:?}", integration.services) };
    assert_eq!((&*service.name, service.alias.as_deref()), ("postgres:16", Some("db")));
    let variables: Vec<(&str, &str)> =
        service.variables.iter().map(|(name, value)| (&**name, &**value)).collect();
    let expected =
        [("POSTGRES_DB", "testdb"), ("POSTGRES_PASSWORD", "secret"), ("POSTGRES_USER", "runner")];
    assert_eq!(variables, expected);
    assert!(integration.variables.is_empty());

    let build = job(
        &repo,
        "build:
  stage: ci
  target: linux
  image: node:20-alpine
  script:
    - npm run build
  artifacts:
    paths:
      - dist/
    exclude:
      - dist/**/*.map
    when: on_success
",
    );
    let artifacts = build.artifacts.unwrap();
    assert_eq!(
        (artifacts.paths, artifacts.exclude),
        (vec!["dist/".to_owned()], vec!["dist/**/*.map".to_owned()])
    );
    assert_eq!(artifacts.when, Outcome::OnSuccess);
    // `docker` and `kubernetes` of a service are known and refused.
    repo.workflow("version: v1\nstages: [ci]\na: {stage: ci, image: x, script: [x], services: [{name: y, docker: {}, kubernetes: {}}]}\n");
    repo.command("loom-check")
        .assert()
        .code(1)
        .stderr(contains("service key \"docker\" is not implemented"))
        .stderr(contains("service key \"kubernetes\" is not implemented"));
}

/// The reference product's own first stage: defaults for all, opted out of, a build, a service.
#[test]
fn the_stage_0_workflow_compiles_to_its_two_jobs() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    repo.write("nix/Dockerfile", "FROM nixos/nix\n");
    let fixture = libloom_testkit::source_root().join("tests/fixtures/workflows/good/stage-0.yml");
    let graph = graph(&repo, &std::fs::read_to_string(fixture).unwrap());
    assert_eq!(graph.stages, ["deps", "ci"]);
    let ids: Vec<&str> = graph.nodes.iter().map(|node| &*node.id).collect();
    assert_eq!(ids, ["build-nix-image", "test-services"]);
    for node in &graph.nodes {
        assert_eq!((&*node.stage, node.provider), ("deps", Provider::Docker));
        assert!(node.cache.is_empty(), "{} opts out of the cache", node.id);
        let variables: Vec<(&str, &str)> =
            node.variables.iter().map(|variable| (&*variable.name, &*variable.value)).collect();
        let expected = [
            ("GOCACHE", "$GOPATH/cache"),
            ("GOMODCACHE", "$GOPATH/pkg/mod"),
            ("GOPATH", ".go"),
            ("PNPM_STORE_DIR", ".pnpm-store"),
        ];
        assert_eq!(variables, expected);
    }
    let services = &graph.nodes[1];
    assert_eq!((services.services[0].alias.as_deref(), services.secrets[0].file), (None, false));
    let reference = "keepass://beepbeepgo/loom-platform/loom#services/test/db:password";
    assert_eq!(
        (&*services.secrets[0].name, &*services.secrets[0].reference),
        ("POSTGRES_PASSWORD", reference)
    );
    assert!(services.steps[0].command.starts_with("i=0; until pg_isready -h postgres; do"));
}
