"""Tells readings to whoever listens, hears them itself, and says that it runs."""

import json
import signal
import threading
from pathlib import Path

import awsiot.greengrasscoreipc
from awsiot.greengrasscoreipc import client, model

SECONDS = 10


class Listener(client.SubscribeToTopicStreamHandler):
    """Keeps what it hears."""

    def __init__(self, expected):
        super().__init__()
        self.heard, self.all = [], threading.Event()
        self._expected = expected

    def on_stream_event(self, event):
        message = event.json_message
        self.heard.append([message.context.topic, message.message["p"]])
        if len(self.heard) == self._expected:
            self.all.set()

    def on_stream_error(self, error):
        print(f"stream error: {error!r}")
        return True

    def on_stream_closed(self):
        print("stream closed")


def answer(operation, request):
    operation.activate(request).result(SECONDS)
    return operation.get_response().result(SECONDS)


ipc = awsiot.greengrasscoreipc.connect()
asked = model.GetConfigurationRequest()
configuration = answer(ipc.new_get_configuration(), asked).value
topic, readings = configuration["Topic"], configuration["Readings"]

listener = Listener(len(readings))
subscription = ipc.new_subscribe_to_topic(listener)
answer(subscription, model.SubscribeToTopicRequest(topic="weather/+"))
for reading in readings:
    message = model.PublishMessage(json_message=model.JsonMessage(message={"p": reading}))
    request = model.PublishToTopicRequest(topic=topic, publish_message=message)
    answer(ipc.new_publish_to_topic(), request)
print("all heard" if listener.all.wait(SECONDS) else "not all heard")

try:
    forbidden = model.PublishToTopicRequest(topic="else/where", publish_message=message)
    answer(ipc.new_publish_to_topic(), forbidden)
except model.UnauthorizedError as error:
    print(error.message)

Path("heard.json").write_text(json.dumps(listener.heard))
subscription.close().result(SECONDS)
answer(ipc.new_update_state(), model.UpdateStateRequest(state="RUNNING"))
signal.pause()
