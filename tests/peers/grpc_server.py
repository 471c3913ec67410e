"""A gRPC application without generated code: messages are bytes. Prints its port."""

import threading
import time
from concurrent import futures

import grpc

CANCELLED = threading.Event()


def text(message):
    return message.decode()


def unary(request, context):
    metadata = dict(context.invocation_metadata())
    context.send_initial_metadata((("x-initial", metadata.get("x-ask", "-")),))
    context.set_trailing_metadata((("x-trailing", "done"),))
    return b"hello " + request


def server_stream(request, context):
    for number in range(int(text(request))):
        yield str(number).encode()


def client_stream(requests, context):
    return str(sum(int(text(request)) for request in requests)).encode()


def bidirectional(requests, context):
    context.set_trailing_metadata((("x-trailing", "talked"),))
    for request in requests:
        yield request + b"!"


def large(request, context):
    return request


def error(request, context):
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today: 100 %")


def late(request, context):
    time.sleep(5)
    return request


def wait(request, context):
    context.add_callback(CANCELLED.set)
    yield b"started"
    CANCELLED.wait(10)


def was_cancelled(request, context):
    return b"yes" if CANCELLED.wait(10) else b"no"


HANDLERS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
    "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
    "Bidirectional": grpc.stream_stream_rpc_method_handler(bidirectional),
    "Large": grpc.unary_unary_rpc_method_handler(large),
    "Error": grpc.unary_unary_rpc_method_handler(error),
    "Late": grpc.unary_unary_rpc_method_handler(late),
    "Wait": grpc.unary_stream_rpc_method_handler(wait),
    "WasCancelled": grpc.unary_unary_rpc_method_handler(was_cancelled),
}

server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("door.Calls", HANDLERS),))
port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(port, flush=True)
server.wait_for_termination()
