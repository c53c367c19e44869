// answer NAME [tcp/PORT | udp/PORT]...
//
// What runs in the containers of Tests/runtimes. It listens on the ports, for both families, and tells whoever asks
// "NAME PORT ADDRESS", the address being the asker's. Without ports it just waits. It ends on SIGTERM, which the first
// process of a container does only if it says so.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_PORTS = 64 };

static void end(int number) {
  (void)number;
  _exit(0);
}

static void reap(int number) {
  (void)number;
  while (waitpid(-1, NULL, WNOHANG) > 0) {}
}

static int listener(int type, int port) {
  struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons((unsigned short)port)};
  int yes = 1, no = 0;
  int fd = socket(AF_INET6, type | SOCK_CLOEXEC, 0);
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
      setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no) != 0 ||
      setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &yes, sizeof yes) != 0 ||
      bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || (type == SOCK_STREAM && listen(fd, 100) != 0)) {
    perror("answer");
    exit(1);
  }
  return fd;
}

static int say(char *text, size_t size, const char *name, int port, const struct sockaddr_in6 *peer) {
  char address[INET6_ADDRSTRLEN];
  if (IN6_IS_ADDR_V4MAPPED(&peer->sin6_addr)) {
    inet_ntop(AF_INET, &peer->sin6_addr.s6_addr[12], address, sizeof address);
  } else {
    inet_ntop(AF_INET6, &peer->sin6_addr, address, sizeof address);
  }
  return snprintf(text, size, "%s %d %s", name, port, address);
}

// From the address that was asked: where there are several, the kernel would take that of the way back.
static void answer_datagram(int fd, const char *name, int port) {
  struct sockaddr_in6 peer;
  char question[256], text[256], control[CMSG_SPACE(sizeof(struct in6_pktinfo))];
  struct iovec data = {.iov_base = question, .iov_len = sizeof question};
  struct msghdr message = {.msg_name = &peer, .msg_namelen = sizeof peer, .msg_iov = &data, .msg_iovlen = 1,
                           .msg_control = control, .msg_controllen = sizeof control};
  if (recvmsg(fd, &message, 0) < 0) { return; }
  for (struct cmsghdr *item = CMSG_FIRSTHDR(&message); item != NULL; item = CMSG_NXTHDR(&message, item)) {
    if (item->cmsg_level == IPPROTO_IPV6 && item->cmsg_type == IPV6_PKTINFO) {
      ((struct in6_pktinfo *)CMSG_DATA(item))->ipi6_ifindex = 0;
    }
  }
  data.iov_base = text;
  data.iov_len = (size_t)say(text, sizeof text, name, port, &peer);
  if (sendmsg(fd, &message, 0) < 0) { perror("answer"); }
}

int main(int argc, char **argv) {
  struct pollfd sockets[MOST_PORTS];
  int types[MOST_PORTS], ports[MOST_PORTS], count = 0;
  signal(SIGTERM, end);
  signal(SIGINT, end);
  signal(SIGCHLD, reap);
  signal(SIGPIPE, SIG_IGN);
  for (int index = 2; index < argc && count < MOST_PORTS; index++, count++) {
    types[count] = strncmp(argv[index], "udp/", 4) == 0 ? SOCK_DGRAM : SOCK_STREAM;
    ports[count] = atoi(strchr(argv[index], '/') + 1);
    sockets[count] = (struct pollfd){.fd = listener(types[count], ports[count]), .events = POLLIN};
  }
  printf("ready\n");
  fflush(stdout);
  for (;;) {
    if (poll(sockets, (nfds_t)count, -1) <= 0) { continue; }
    for (int index = 0; index < count; index++) {
      if ((sockets[index].revents & POLLIN) == 0) { continue; }
      if (types[index] == SOCK_STREAM) {
        struct sockaddr_in6 peer;
        socklen_t size = sizeof peer;
        char text[256];
        int connection = accept4(sockets[index].fd, (struct sockaddr *)&peer, &size, SOCK_CLOEXEC);
        if (connection < 0) { continue; }
        int length = say(text, sizeof text, argv[1], ports[index], &peer);
        if (write(connection, text, (size_t)length) != length) { perror("answer"); }
        close(connection);
      } else {
        answer_datagram(sockets[index].fd, argv[1], ports[index]);
      }
    }
  }
}
