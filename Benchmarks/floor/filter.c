// Elements of nf_tables: what masquerading, port mappings and the firewall add for a container.
#include "floor.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

static struct batch batch;
static const char *const table = "floor", *const set = "elements";
enum { nftables = NFNL_SUBSYS_NFTABLES << 8 };

static void nft_begin(uint16_t type, uint16_t flags, uint8_t family) {
  struct nfgenmsg header = {.nfgen_family = family};
  if (family == AF_UNSPEC) header.res_id = htons(NFNL_SUBSYS_NFTABLES);
  begin(&batch, type, flags, &header, sizeof header);
}

// Of a transaction only the last command is acknowledged.
static void nft_perform(int netfilter, const char *what) {
  nft_begin(NFNL_MSG_BATCH_END, NLM_F_REQUEST, AF_UNSPEC);
  batch.requests = 1;
  perform(netfilter, &batch, what);
}

static void nft_start(void) { nft_begin(NFNL_MSG_BATCH_BEGIN, NLM_F_REQUEST, AF_UNSPEC); }

void make_set(struct world *world) {
  nft_start();
  nft_begin(nftables | NFT_MSG_NEWTABLE, NLM_F_REQUEST | NLM_F_CREATE, NFPROTO_INET);
  text(&batch, NFTA_TABLE_NAME, table);
  nft_begin(nftables | NFT_MSG_NEWSET, create, NFPROTO_INET);
  text(&batch, NFTA_SET_TABLE, table);
  text(&batch, NFTA_SET_NAME, set);
  number(&batch, NFTA_SET_FLAGS, 0);
  number(&batch, NFTA_SET_KEY_TYPE, 0);
  number(&batch, NFTA_SET_KEY_LEN, htonl(8));
  number(&batch, NFTA_SET_ID, htonl(1));
  nft_perform(world->netfilter, "create set");
}

// All elements travel in one message. `owner` is the container whose they are.
static void change_elements(struct world *world, uint16_t type, int count, uint32_t owner) {
  static const char comment[56] = "\0\066cni:network/container-0123456789abcdef0123456789/eth0";
  nft_start();
  nft_begin(nftables | type, NLM_F_REQUEST | NLM_F_CREATE | NLM_F_ACK, NFPROTO_INET);
  text(&batch, NFTA_SET_ELEM_LIST_TABLE, table);
  text(&batch, NFTA_SET_ELEM_LIST_SET, set);
  size_t list = open_attribute(&batch, NLA_F_NESTED | NFTA_SET_ELEM_LIST_ELEMENTS);
  for (int index = 0; index < count; index++) {
    size_t element = open_attribute(&batch, NLA_F_NESTED | NFTA_LIST_ELEM);
    size_t key = open_attribute(&batch, NLA_F_NESTED | NFTA_SET_ELEM_KEY);
    uint32_t value[2] = {index, count << 8 | owner};
    attribute(&batch, NFTA_DATA_VALUE, value, sizeof value);
    close_attribute(&batch, key);
    if (type == NFT_MSG_NEWSETELEM) attribute(&batch, NFTA_SET_ELEM_USERDATA, comment, sizeof comment);
    close_attribute(&batch, element);
  }
  close_attribute(&batch, list);
  nft_perform(world->netfilter, "elements");
}

void add_elements(struct world *world, int count, uint32_t owner) {
  change_elements(world, NFT_MSG_NEWSETELEM, count, owner);
}

void remove_elements(struct world *world, int count, uint32_t owner) {
  change_elements(world, NFT_MSG_DELSETELEM, count, owner);
}
