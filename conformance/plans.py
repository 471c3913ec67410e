"""Which certification plans are run, and what a browser has to do in them."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Plan:
    key: str
    """Its short name here."""
    name: str
    """Its name in the suite, without `-certification-test-plan`."""
    variant: dict

    @property
    def full_name(self):
        return f"{self.name}-certification-test-plan"


def _plan(key, name, **variant):
    return Plan(key, name, variant)


# Clients of the configuration: the provider registers none.
STATIC = {"client_registration": "static_client"}
DISCOVERED = {"server_metadata": "discovery", **STATIC}
CODE = {"response_type": "code", **STATIC}

PLANS = [
    _plan("config", "oidcc-config"),
    _plan("basic", "oidcc-basic", **DISCOVERED),
    _plan("implicit", "oidcc-implicit", **DISCOVERED),
    _plan("hybrid", "oidcc-hybrid", **DISCOVERED),
    _plan("formpost-basic", "oidcc-formpost-basic", **DISCOVERED),
    _plan("formpost-implicit", "oidcc-formpost-implicit", **DISCOVERED),
    _plan("formpost-hybrid", "oidcc-formpost-hybrid", **DISCOVERED),
    _plan("rp-initiated-logout", "oidcc-rp-initiated-logout", **CODE),
    _plan("backchannel-logout", "oidcc-backchannel-rp-initiated-logout", **CODE),
    _plan("session-management", "oidcc-session-management", **CODE),
]

# Modules that end with a person who looks at a picture: the browser takes it where the text is seen. The heading of our
# login page, and of the pages that say what is wrong.
LOGIN_SEEN = ["wait", "xpath", "//*", 10, "Sign in", "update-image-placeholder-optional"]


def fault_seen(text):
    return ["wait", "xpath", "//*", 10, text, "update-image-placeholder"]


WRONG_REDIRECT = ["oidcc-ensure-registered-redirect-uri", "oidcc-ensure-redirect-uri-in-authorization-request",
                  "oidcc-ensure-request-object-with-redirect-uri", "oidcc-redirect-uri-query-added",
                  "oidcc-redirect-uri-query-mismatch"]
LOGOUT_REFUSED = ["bad-post-logout-redirect-uri", "query-added-to-post-logout-redirect-uri", "modified-id-token-hint",
                  "bad-id-token-hint", "no-id-token-hint"]
LOGOUT_WITHOUT_RETURN = ["no-params", "no-post-logout-redirect-uri", "only-state"]


def browser(issuer, email, password):
    """The steps of the suite's own browser on our pages, and those of single modules."""

    def sign_in(*first):
        return {"match": f"{issuer}/auth*", "tasks": [
            {"task": "Sign in", "optional": True, "match": f"{issuer}/auth/local/login*", "commands": [
                *first, ["text", "id", "login", email], ["text", "id", "password", password], ["click", "id", "submit-login"]]},
            {"task": "Grant", "optional": True, "match": f"{issuer}/approval*", "commands": [["click", "id", "submit-approve"]]},
            {"task": "Arrive", "match": "*/test/*/callback*", "commands": [["wait", "id", "submission_complete", 10]]}]}

    def refused(text):
        return {"match": f"{issuer}/auth*", "tasks": [
            {"task": "See what is wrong", "match": f"{issuer}/auth*", "commands": [fault_seen(text)]}]}

    def sign_out(commands):
        return {"match": f"{issuer}/logout*", "tasks": [
            {"task": "Confirm", "optional": True, "match": f"{issuer}/logout*", "commands": [
                ["click", "id", "submit-sign-out", "optional"]]},
            *commands]}

    returned = {"task": "Return", "match": "*/test/*/post*"}
    seen_out = {"task": "See the end", "match": f"{issuer}/logout*", "commands": [fault_seen("igned out")]}
    seen_fault = {"task": "See what is wrong", "match": f"{issuer}/logout*", "commands": [fault_seen("did not work")]}

    override = {name: {"browser": [sign_in(LOGIN_SEEN)]} for name in ["oidcc-prompt-login", "oidcc-max-age-1"]}
    override |= {name: {"browser": [refused("did not work")]} for name in WRONG_REDIRECT}
    for names, end in ((LOGOUT_REFUSED, seen_fault), (LOGOUT_WITHOUT_RETURN, seen_out)):
        for name in names:
            override[f"oidcc-rp-initiated-logout-{name}"] = {"browser": [sign_in(), sign_out([end])]}
    return [sign_in(), sign_out([returned])], override
