#include "floor.h"

void fail(const char *what) {
  perror(what);
  exit(1);
}

int netlink_socket(int protocol) {
  int descriptor = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
  if (descriptor < 0) fail("socket");
  int on = 1;
  setsockopt(descriptor, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  return descriptor;
}

static void *place(struct batch *batch, const void *data, size_t length) {
  void *place = batch->bytes + batch->length;
  if (batch->length + NLMSG_ALIGN(length) > sizeof batch->bytes) {
    errno = ENOSPC;
    fail("batch");
  }
  memset(place, 0, NLMSG_ALIGN(length));
  if (data != NULL) memcpy(place, data, length);
  batch->length += NLMSG_ALIGN(length);
  ((struct nlmsghdr *)(batch->bytes + batch->request))->nlmsg_len = batch->length - batch->request;
  return place;
}

void append(struct batch *batch, const void *data, size_t length) { place(batch, data, length); }

void begin(struct batch *batch, uint16_t type, uint16_t flags, const void *fixed, size_t length) {
  struct nlmsghdr header = {.nlmsg_type = type, .nlmsg_flags = flags, .nlmsg_seq = ++batch->requests};
  batch->request = batch->length;
  place(batch, &header, sizeof header);
  place(batch, fixed, length);
}

size_t open_attribute(struct batch *batch, uint16_t type) {
  struct rtattr attribute = {.rta_type = type};
  size_t start = batch->length;
  place(batch, &attribute, sizeof attribute);
  return start;
}

void close_attribute(struct batch *batch, size_t start) {
  ((struct rtattr *)(batch->bytes + start))->rta_len = batch->length - start;
}

void attribute(struct batch *batch, uint16_t type, const void *data, size_t length) {
  size_t start = open_attribute(batch, type);
  place(batch, data, length);
  ((struct rtattr *)(batch->bytes + start))->rta_len = sizeof(struct rtattr) + length;
}

void text(struct batch *batch, uint16_t type, const char *value) { attribute(batch, type, value, strlen(value) + 1); }

void number(struct batch *batch, uint16_t type, uint32_t value) { attribute(batch, type, &value, sizeof value); }

static int other_end;

int other_end_of_last_link(void) { return other_end; }

// The index of the other end of a pair, which a link's report has as IFLA_LINK.
static void note_other_end(struct nlmsghdr *header) {
  struct rtattr *attribute = IFLA_RTA(NLMSG_DATA(header));
  int rest = IFLA_PAYLOAD(header);
  for (; RTA_OK(attribute, rest); attribute = RTA_NEXT(attribute, rest)) {
    if (attribute->rta_type == IFLA_LINK) memcpy(&other_end, RTA_DATA(attribute), sizeof other_end);
  }
}

int perform(int descriptor, struct batch *batch, const char *what) {
  char reply[16384];
  int index = 0, answered = 0;
  if (send(descriptor, batch->bytes, batch->length, 0) < 0) fail(what);
  while (answered < batch->requests) {
    ssize_t received = recv(descriptor, reply, sizeof reply, 0);
    if (received < 0) fail(what);
    size_t rest = received;
    for (struct nlmsghdr *header = (struct nlmsghdr *)reply; NLMSG_OK(header, rest); header = NLMSG_NEXT(header, rest)) {
      if (header->nlmsg_type == RTM_NEWLINK) {
        index = ((struct ifinfomsg *)NLMSG_DATA(header))->ifi_index;
        note_other_end(header);
        answered += 1;
      }
      if (header->nlmsg_type != NLMSG_ERROR) continue;
      struct nlmsgerr *error = NLMSG_DATA(header);
      if (error->error != 0) {
        errno = -error->error;
        fail(what);
      }
      answered += 1;
    }
  }
  batch->length = 0;
  batch->requests = 0;
  return index;
}
