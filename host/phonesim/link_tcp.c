#include "host/phonesim/link_tcp.h"

enum { TURNS = 16 }; /* reads or writes in a row; then other phones get theirs */

static void hang_up(struct link_tcp *link) {
    loop_remove(link->loop, &link->talking);
    hal_stream_close(&link->stream);
    phone_disconnect(link->phone);
    link->input.size = 0;
}

/* Lets services fill the output and sends it. False: the connection broke. */
static bool send_output(struct link_tcp *link, uint64_t now_ms) {
    for (unsigned i = 0; i < TURNS; i++) {
        phone_step(link->phone, now_ms);
        struct bytes output = phone_output(link->phone);
        size_t size = 0;
        if (output.size == 0) {
            return true;
        }
        enum status status = hal_stream_write(&link->stream, output.data, output.size, &size);
        if (status == STATUS_AGAIN) {
            return true;
        }
        if (status != STATUS_OK) {
            return false;
        }
        phone_sent(link->phone, size);
    }
    return true;
}

static bool read_input(struct link_tcp *link, uint64_t now_ms) {
    for (unsigned i = 0; i < TURNS; i++) {
        phone_receive(link->phone, &link->input, now_ms);
        if (link->input.size > 0) { /* our answers lack room */
            return true;
        }
        size_t size = 0;
        enum status status =
            hal_stream_read(&link->stream, link->input_memory, sizeof link->input_memory, &size);
        if (status == STATUS_AGAIN) {
            return true;
        }
        if (status != STATUS_OK) {
            return false;
        }
        link->input = (struct bytes){link->input_memory, size};
    }
    phone_receive(link->phone, &link->input, now_ms);
    return true;
}

static void serve(struct link_tcp *link, uint64_t now_ms) {
    bool is_alive = read_input(link, now_ms) && send_output(link, now_ms);
    bool has_output = is_alive && phone_output(link->phone).size > 0;
    if (!is_alive || (phone_is_leaving(link->phone) && !has_output)) {
        hang_up(link);
        return;
    }
    uint32_t events = link->input.size > 0 ? 0 : EPOLLIN;
    loop_change(link->loop, &link->talking, events | (has_output ? EPOLLOUT : 0));
}

static void talk(struct loop_source *source, uint32_t events) {
    (void)events;
    struct link_tcp *link =
        (struct link_tcp *)(void *)((char *)source - offsetof(struct link_tcp, talking));
    serve(link, loop_now_ms());
}

/* A host that comes while another is here, or while the phone reboots, is turned away. */
static void welcome(struct loop_source *source, uint32_t events) {
    (void)events;
    struct link_tcp *link =
        (struct link_tcp *)(void *)((char *)source - offsetof(struct link_tcp, listening));
    struct hal_stream stream;
    if (tcp_accept(link->listener, &stream) != STATUS_OK) {
        return;
    }
    if (!phone_is_free(link->phone, loop_now_ms()) ||
        loop_add(link->loop, &link->talking, stream.handle, EPOLLIN) != STATUS_OK) {
        hal_stream_close(&stream);
        return;
    }
    link->stream = stream;
    phone_connect(link->phone);
}

enum status link_tcp_open(struct link_tcp *link, struct loop *loop, struct phone *phone,
                          const struct tcp_address *address) {
    link->listening = (struct loop_source){.ready = welcome, .fd = -1};
    link->talking = (struct loop_source){.ready = talk, .fd = -1};
    link->loop = loop;
    link->phone = phone;
    link->input.size = 0;
    enum status status = tcp_listen(&link->listener, address);
    if (status != STATUS_OK) {
        return status;
    }
    status = loop_add(loop, &link->listening, link->listener, EPOLLIN);
    if (status != STATUS_OK) {
        tcp_unlisten(link->listener);
    }
    return status;
}

void link_tcp_close(struct link_tcp *link) {
    if (link->phone->is_connected) {
        hang_up(link);
    }
    loop_remove(link->loop, &link->listening);
    tcp_unlisten(link->listener);
}

void link_tcp_step(struct link_tcp *link, uint64_t now_ms) {
    if (link->phone->is_connected && now_ms >= phone_due_ms(link->phone)) {
        serve(link, now_ms);
    }
}
