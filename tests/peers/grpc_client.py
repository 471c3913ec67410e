"""Calls a gRPC application in every way that there is and prints what came of it as JSON.

Arguments: address, file of the authority, and `refused` to call what nobody answers, or `as` with the name that the
certificate has and pairs of metadata as JSON to make two calls with them.
"""

import json
import queue
import sys

import grpc

address, authority = sys.argv[1:3]
with open(authority, "rb") as file:
    credentials = grpc.ssl_channel_credentials(file.read())
mode = sys.argv[3] if len(sys.argv) > 3 else "everything"
options = [("grpc.ssl_target_name_override", sys.argv[4])] if mode == "as" else []
channel = grpc.secure_channel(address, credentials, options=options)


def call(kind, method, service="door.Calls"):
    return getattr(channel, kind)(f"/{service}/{method}")


def failure(ask):
    try:
        ask()
    except grpc.RpcError as error:
        return {"code": error.code().name, "details": error.details()}
    return {"code": "OK"}


def refused():
    return {
        "gone": failure(lambda: call("unary_unary", "Unary", "door.Gone")(b"", timeout=10)),
        "nowhere": failure(lambda: call("unary_unary", "Unary", "nowhere.Calls")(b"", timeout=10)),
    }


def everything():
    told = {}
    answer, state = call("unary_unary", "Unary").with_call(b"door", metadata=(("x-ask", "yes"),), timeout=10)
    told["unary"] = {
        "text": answer.decode(),
        "initial": dict(state.initial_metadata())["x-initial"],
        "trailing": dict(state.trailing_metadata())["x-trailing"],
    }
    stream = call("unary_stream", "ServerStream")(b"5", timeout=10)
    told["serverStream"] = [message.decode() for message in stream]
    numbers = (str(number).encode() for number in range(5))
    told["clientStream"] = call("stream_unary", "ClientStream")(numbers, timeout=10).decode()

    questions = queue.Queue()
    answers = call("stream_stream", "Bidirectional")(iter(questions.get, None), timeout=10)
    told["bidirectional"] = []
    for question in (b"a", b"b", b"c"):
        questions.put(question)
        told["bidirectional"].append(next(answers).decode())
    questions.put(None)
    told["large"] = len(call("unary_unary", "Large")(b"x" * 3_000_000, timeout=30))

    told["error"] = failure(lambda: call("unary_unary", "Error")(b"", timeout=10))
    told["late"] = {"code": failure(lambda: call("unary_unary", "Late")(b"", timeout=0.3))["code"]}
    told["unknown"] = failure(lambda: call("unary_unary", "Unknown")(b"", timeout=10))

    waiting = call("unary_stream", "Wait")(b"", timeout=30)
    next(waiting)
    waiting.cancel()
    told["cancelled"] = {"seen": call("unary_unary", "WasCancelled")(b"", timeout=20) == b"yes"}

    unary = call("unary_unary", "Unary")
    calls = [unary.future(str(number).encode(), timeout=30) for number in range(200)]
    told["parallel"] = sum(one.result() == f"hello {number}".encode() for number, one in enumerate(calls))
    return told


def shown_as():
    """One answer to one question, and a talk of three: what both sides said, or how each was refused."""
    metadata = tuple(tuple(pair) for pair in json.loads(sys.argv[5])) + (("x-ask", "yes"),)
    told = {}

    def one():
        answer, state = call("unary_unary", "Unary").with_call(b"door", metadata=metadata, timeout=10)
        told["unary"] = {
            "text": answer.decode(),
            "initial": dict(state.initial_metadata())["x-initial"],
            "trailing": dict(state.trailing_metadata())["x-trailing"],
        }

    def talk():
        questions = queue.Queue()
        answers = call("stream_stream", "Bidirectional")(iter(questions.get, None), metadata=metadata, timeout=10)
        told["bidirectional"] = []
        for question in (b"a", b"b", b"c"):
            questions.put(question)
            try:
                told["bidirectional"].append(next(answers).decode())
            except grpc.RpcError:
                questions.put(None)
                raise
        questions.put(None)
        told["end"] = [message.decode() for message in answers]
        told["trailing"] = dict(answers.trailing_metadata())["x-trailing"]

    told["unaryCode"] = failure(one)["code"]
    told["bidirectionalCode"] = failure(talk)["code"]
    return told


MODES = {"everything": everything, "refused": refused, "as": shown_as}
print(json.dumps(MODES[mode]()))
