"""An Envoy with a listener for each authorizer that it asks."""

import json

COOKIES = {"patterns": [{"exact": name} for name in ("cookie", "accept", "user-agent", "x-forwarded-proto", "x-envoy-external-address")]}
IDENTITY = {"patterns": [{"exact": "authorization"}, {"exact": "kubeflow-userid"}, {"exact": "kubeflow-groups"}, {"prefix": "x-auth-request-"},
                         {"exact": "x-envoy-auth-headers-to-remove"}]}


def config(application, authorizers):
    """The text of a configuration; `authorizers` are `(name, port of its listener, port of the authorizer, whether it speaks gRPC)`."""
    listeners = [listener(name, port, grpc) for name, port, _, grpc in authorizers]
    clusters = [cluster("application", application, False), *[cluster(name, port, grpc) for name, _, port, grpc in authorizers]]
    return json.dumps({"static_resources": {"listeners": listeners, "clusters": clusters}})


def listener(name, port, grpc):
    asked = {"grpc_service": {"envoy_grpc": {"cluster_name": name}, "timeout": "5s"}} if grpc else {
        "http_service": {
            "server_uri": {"uri": "http://authorizer.bench", "cluster": name, "timeout": "5s"},
            "authorization_response": {"allowed_upstream_headers": IDENTITY},
        },
        "allowed_headers": COOKIES,
    }
    kind = "type.googleapis.com/envoy.extensions"
    manager = {
        "@type": f"{kind}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "use_remote_address": True,
        "access_log": [{"name": "file", "typed_config": {"@type": f"{kind}.access_loggers.file.v3.FileAccessLog", "path": "/dev/null"}}],
        "http_filters": [
            {"name": "envoy.filters.http.ext_authz", "typed_config": {"@type": f"{kind}.filters.http.ext_authz.v3.ExtAuthz", "transport_api_version": "V3", **asked}},
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{kind}.filters.http.router.v3.Router"}},
        ],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "application"}}]}]},
    }
    return {
        "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}],
    }


def cluster(name, port, http2):
    made = {
        "name": name,
        "type": "STATIC",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}}]}]},
    }
    if http2:
        made["typed_extension_protocol_options"] = {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": {}}}}
    return made
