//! Manifests of any size, for measurements and for tests of how work grows.

use std::fmt::Write as _;

use model::objects::{File, ObjectSet};

/// Objects in a namespace share a file, as trees of manifests are laid out.
const PER_FILE: usize = 100;

/// A key pair as PEM.
pub struct PemPair {
    /// Chain.
    pub chain: String,
    /// Key.
    pub key: String,
}

/// Collects documents into files.
#[derive(Default)]
struct Tree {
    files: Vec<File>,
    documents: usize,
}

impl Tree {
    fn push(&mut self, document: &str) {
        if self.documents.is_multiple_of(PER_FILE) {
            self.files.push(File {
                name: format!("{:05}.yaml", self.files.len()).into(),
                text: String::new(),
            });
        }
        self.documents += 1;
        if let Some(file) = self.files.last_mut() {
            file.text.push_str(document);
            file.text.push_str("---\n");
        }
    }

    fn finish(self) -> ObjectSet {
        ObjectSet { files: self.files }
    }
}

fn gateway(name: &str, server: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata:\n  name: {name}\n  namespace: istio-system\nspec:\n  selector:\n    istio: ingressgateway\n  servers:\n{server}"
    )
}

fn service(name: &str, namespace: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\n  namespace: {namespace}\nspec:\n  selector:\n    app: {name}\n  ports:\n  - name: http\n    port: 80\n    targetPort: 8080\n"
    )
}

fn route(name: &str, namespace: &str, gateway: &str, host: &str, prefix: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: {name}\n  namespace: {namespace}\nspec:\n  hosts:\n  - '{host}'\n  gateways:\n  - istio-system/{gateway}\n  http:\n  - match:\n    - uri:\n        prefix: {prefix}\n    route:\n    - destination:\n        host: {name}.{namespace}.svc.cluster.local\n        port:\n          number: 80\n"
    )
}

const PLAIN: &str =
    "  - port:\n      number: 80\n      name: http\n      protocol: HTTP\n    hosts:\n    - '*'\n";

/// The host with this number.
pub fn host(number: usize) -> String {
    format!("app-{number}.team-{}.example.com", number % 100)
}

/// `count` hosts on one Gateway, each with its own VirtualService and Service.
pub fn hosts(count: usize) -> ObjectSet {
    let mut tree = Tree::default();
    tree.push(&gateway("main", PLAIN));
    for number in 0..count {
        let (name, namespace) = (format!("app-{number}"), format!("team-{}", number % 100));
        tree.push(&service(&name, &namespace));
        tree.push(&route(&name, &namespace, "main", &host(number), "/"));
    }
    tree.finish()
}

/// The path of the notebook with this number.
pub fn notebook(number: usize) -> String {
    format!("/notebook/team-{}/nb-{number}/", number % 100)
}

/// `count` notebooks on the host `*`, and a dashboard behind them.
pub fn notebooks(count: usize) -> ObjectSet {
    let mut tree = Tree::default();
    tree.push(&gateway("main", PLAIN));
    tree.push(&service("dashboard", "kubeflow"));
    tree.push(&route("dashboard", "kubeflow", "main", "*", "/"));
    for number in 0..count {
        let (name, namespace) = (format!("nb-{number}"), format!("team-{}", number % 100));
        tree.push(&service(&name, &namespace));
        tree.push(&route(&name, &namespace, "main", "*", &notebook(number)));
    }
    tree.finish()
}

/// The path of the notebook of the person with this number.
pub fn profile_path(number: usize) -> String {
    format!("/notebook/person-{number}/nb/")
}

/// Who owns the namespace with this number.
pub fn owner(number: usize) -> String {
    format!("person-{number}@example.com")
}

fn policy(name: &str, namespace: &str, spec: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata:\n  name: {name}\n  namespace: {namespace}\nspec:\n{spec}"
    )
}

/// The rule that Kubeflow writes for somebody who may enter a namespace.
fn let_in(who: &str) -> String {
    format!(
        "  - from:\n    - source:\n        principals:\n        - cluster.local/ns/istio-system/sa/istio-ingressgateway-service-account\n        - cluster.local/ns/kubeflow/sa/ml-pipeline-ui\n    when:\n    - key: request.headers[kubeflow-userid]\n      values:\n      - {who}\n"
    )
}

/// `count` namespaces of people, as Kubeflow's Profiles make them: a notebook in each, its owner's
/// policy with all clauses, a contributor's, and one that denies.
pub fn profiles(count: usize) -> ObjectSet {
    let mut tree = Tree::default();
    tree.push(&gateway("main", PLAIN));
    for number in 0..count {
        let namespace = format!("person-{number}");
        tree.push(&format!(
            "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {namespace}\n  labels:\n    istio-injection: enabled\n"
        ));
        tree.push(&service("nb", &namespace));
        tree.push(&route("nb", &namespace, "main", "*", &profile_path(number)));
        let policy = |name: &str, spec: &str| policy(name, &namespace, spec);
        tree.push(&policy("ns-owner-access-istio", &format!(
            "  rules:\n{}  - when:\n    - key: source.namespace\n      values:\n      - {namespace}\n  - to:\n    - operation:\n        paths:\n        - /healthz\n        - /metrics\n        - /wait-for-drain\n  - from:\n    - source:\n        principals:\n        - cluster.local/ns/kubeflow/sa/notebook-controller-service-account\n    to:\n    - operation:\n        methods:\n        - GET\n        paths:\n        - '*/api/kernels'\n",
            let_in(&owner(number))
        )));
        let contributor = format!("guest-{number}@example.com");
        tree.push(&policy(
            "user-guest-clusterrole-edit",
            &format!("  rules:\n{}", let_in(&contributor)),
        ));
        tree.push(&policy(
            "no-terminals",
            "  action: DENY\n  rules:\n  - to:\n    - operation:\n        paths:\n        - '*/terminals/*'\n",
        ));
    }
    tree.finish()
}

/// One namespace, the first person's, that `count` people share: a policy for each, as KFAM writes
/// them.
pub fn contributors(count: usize) -> ObjectSet {
    let mut tree = Tree::default();
    tree.push(&gateway("main", PLAIN));
    tree.push("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: person-0\n  labels:\n    istio-injection: enabled\n");
    tree.push(&service("nb", "person-0"));
    tree.push(&route("nb", "person-0", "main", "*", &profile_path(0)));
    for number in 0..count {
        tree.push(&policy(
            &format!("user-person-{number}-clusterrole-edit"),
            "person-0",
            &format!("  rules:\n{}", let_in(&owner(number))),
        ));
    }
    tree.finish()
}

/// As many Gateways as there are pairs, each with two hosts of its own and a Secret; every host has
/// a VirtualService and a Service.
pub fn certificates(pairs: &[PemPair]) -> ObjectSet {
    let mut tree = Tree::default();
    for (number, pair) in pairs.iter().enumerate() {
        let hosts = [host(2 * number), host(2 * number + 1)];
        let server = format!(
            "  - port:\n      number: 443\n      name: https\n      protocol: HTTPS\n    hosts:\n    - {}\n    - {}\n    tls:\n      mode: SIMPLE\n      credentialName: cert-{number}\n",
            hosts[0], hosts[1],
        );
        tree.push(&gateway(&format!("g-{number}"), &server));
        let mut secret = format!(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: cert-{number}\n  namespace: istio-system\ntype: kubernetes.io/tls\nstringData:\n"
        );
        for (key, text) in [("tls.crt", &pair.chain), ("tls.key", &pair.key)] {
            let _ = writeln!(secret, "  {key}: |");
            for line in text.lines() {
                let _ = writeln!(secret, "    {line}");
            }
        }
        tree.push(&secret);
        for (at, host) in (2 * number..).zip(&hosts) {
            let (name, namespace) = (format!("app-{at}"), format!("team-{}", at % 100));
            tree.push(&service(&name, &namespace));
            tree.push(&route(&name, &namespace, &format!("g-{number}"), host, "/"));
        }
    }
    tree.finish()
}

/// `count` InferenceServices below one domain.
pub fn models(count: usize) -> ObjectSet {
    let mut tree = Tree::default();
    tree.push(&gateway("main", PLAIN));
    for (name, namespace, data) in [
        ("config-domain", "knative-serving", "  example.org: ''\n"),
        (
            "config-istio",
            "knative-serving",
            "  gateway.istio-system.main: gateway\n",
        ),
        (
            "inferenceservice-config",
            "kserve",
            "  ingress: '{\"ingressGateway\": \"istio-system/main\", \"ingressDomain\": \"models.example.org\", \"pathTemplate\": \"/serving/{{ .Namespace }}/{{ .Name }}\"}'\n",
        ),
    ] {
        tree.push(&format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  namespace: {namespace}\ndata:\n{data}"
        ));
    }
    for number in 0..count {
        tree.push(&format!(
            "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata:\n  name: m-{number}\n  namespace: team-{}\nspec:\n  predictor:\n    model:\n      modelFormat:\n        name: sklearn\n",
            number % 100
        ));
    }
    tree.finish()
}
