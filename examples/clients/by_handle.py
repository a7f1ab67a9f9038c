# SPDX-License-Identifier: BSD-2-Clause
"""librdkafka by dlopen and dlsym, as .NET and Ruby do it:
by_handle.py BOOTSTRAP TOPIC PARTITIONS COUNT [KEY=VALUE]…

Prints PARTITION OFFSET of each message that the broker acknowledged, in that order.
"""
import ctypes
import sys

lib = ctypes.CDLL("librdkafka.so.1", mode=ctypes.RTLD_LOCAL)


class Message(ctypes.Structure):
    """rd_kafka_message_t"""
    _fields_ = [("err", ctypes.c_int), ("rkt", ctypes.c_void_p), ("partition", ctypes.c_int32),
                ("payload", ctypes.c_void_p), ("len", ctypes.c_size_t), ("key", ctypes.c_void_p),
                ("key_len", ctypes.c_size_t), ("offset", ctypes.c_int64), ("private", ctypes.c_void_p)]


DELIVERED = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.POINTER(Message), ctypes.c_void_p)


def function(name, result, *arguments):
    found = getattr(lib, name)
    found.restype, found.argtypes = result, arguments
    return found


pointer, text, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t
conf_new = function("rd_kafka_conf_new", pointer)
conf_set = function("rd_kafka_conf_set", ctypes.c_int, pointer, text, text, text, size)
conf_set_delivered = function("rd_kafka_conf_set_dr_msg_cb", None, pointer, DELIVERED)
new = function("rd_kafka_new", pointer, ctypes.c_int, pointer, text, size)
topic_new = function("rd_kafka_topic_new", pointer, pointer, text, pointer)
produce = function("rd_kafka_produce", ctypes.c_int, pointer, ctypes.c_int32, ctypes.c_int, text, size,
                   text, size, pointer)
poll = function("rd_kafka_poll", ctypes.c_int, pointer, ctypes.c_int)
flush = function("rd_kafka_flush", ctypes.c_int, pointer, ctypes.c_int)
topic_destroy = function("rd_kafka_topic_destroy", None, pointer)
destroy = function("rd_kafka_destroy", None, pointer)


@DELIVERED
def delivered(_producer, message, _opaque):
    print("failed" if message[0].err else f"{message[0].partition} {message[0].offset}")


def main():
    bootstrap, topic, partitions, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    why = ctypes.create_string_buffer(256)
    conf = conf_new()
    for setting in ["bootstrap.servers=" + bootstrap, "linger.ms=5", *sys.argv[5:]]:
        key, value = setting.split("=", 1)
        if conf_set(conf, key.encode(), value.encode(), why, 256):
            sys.exit(why.value.decode())
    conf_set_delivered(conf, delivered)
    producer = new(0, conf, why, 256)
    handle = topic_new(producer, topic.encode(), None)
    for n in range(count):
        payload = b"message %d" % n
        produce(handle, n % partitions, 2, payload, len(payload), None, 0, None)    # 2: copy the payload
        poll(producer, 0)
    late = flush(producer, 30000)
    topic_destroy(handle)
    destroy(producer)
    sys.exit(late != 0)


main()
