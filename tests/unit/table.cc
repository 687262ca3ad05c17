// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors

#include "catch.h"

#include "base/error.h"
#include "table/messages.h"
#include "table/raid.h"
#include "table/status.h"
#include "table/table.h"

#include <cerrno>
#include <fmt/format.h>

using namespace dmsnap;

TEST_CASE("the older of tool and module is the one to upgrade", "[unit]")
{
    CHECK(which_to_upgrade(INTERPOSE_INTERFACE - 1) == std::string("upgrade the module"));
    CHECK(which_to_upgrade(INTERPOSE_INTERFACE + 1) == std::string("upgrade dmsnap"));
}

TEST_CASE("of a raid's health those legs count that have failed", "[unit]")
{
    CHECK(raid_health("raid1 2 AA 131072/131072 idle 0 0 -") == "AA");
    CHECK(raid_health("raid1 2 Aa") == "Aa");
    CHECK(raid_health("raid1 2") == "");
    CHECK(raid_health("") == "");
    CHECK(same_failures("AA", "Aa"));
    CHECK(same_failures("AD", "aD"));
    CHECK_FALSE(same_failures("AA", "AD"));
    CHECK_FALSE(same_failures("DA", "AD"));
    CHECK_FALSE(same_failures("AA", "AAA"));
}

TEST_CASE("a raid's status is read, or said to be none", "[unit]")
{
    const auto syncing = parse_raid_status("raid raid1 2 Aa 1024/4096 recover 0 0 -");
    REQUIRE(syncing);
    CHECK(*syncing == RaidStatus{"raid1", "Aa", Sectors{1024}, Sectors{4096}, "recover"});
    CHECK_FALSE(syncing->in_sync());
    const auto old = parse_raid_status("raid raid5_ls 3 AAA 8/8");
    REQUIRE(old);
    CHECK(*old == RaidStatus{"raid5_ls", "AAA", Sectors{8}, Sectors{8}, ""});
    CHECK(old->in_sync());
    for (const char* none : {"", "raid", "raid1 2 AA 8/8 idle", "raid raid1 2 AA 8 idle", "raid raid1 2 AA 8/8/8 idle",
             "raid raid1 2 AA x/8 idle", "mirror 2 253:3 253:4 48/48 1 AA 1 core"})
        CHECK_FALSE(parse_raid_status(none));
}

TEST_CASE("the data devices of a raid are found behind any parameters", "[unit]")
{
    const RaidTable two{"raid1", {"253:1", "253:2"}};
    CHECK(parse_raid_table("raid1 2 rebuild 1 2 - 253:1 - 253:2") == two);
    CHECK(parse_raid_table("raid1 0 2 253:3 253:1 253:4 253:2") == two);
    CHECK(parse_raid_table("raid5_ls 3 64 region_size 1024 1 - -") == RaidTable{"raid5_ls", {"-"}});
    for (const char* none : {"", "raid1", "raid1 0", "raid1 x 2 - 253:1 - 253:2", "raid1 0 2 - 253:1",
             "raid1 0 1 - 253:1 -", "raid1 9 2 - 253:1 - 253:2", "raid1 18446744073709551615 2 - 253:1 - 253:2"})
        CHECK_FALSE(parse_raid_table(none));
}

using namespace dmsnap::literals;

namespace {

using Texts = std::vector<std::string>;

const Uuid origin = *Uuid::from_text("11111111-1111-4111-8111-111111111111");
const Uuid generation = *Uuid::from_text("22222222-2222-4222-8222-222222222222");
const Uuid store = *Uuid::from_text("33333333-3333-4333-8333-333333333333");

const std::string O = origin.text();
const std::string G = generation.text();
const std::string S = store.text();

template <typename Call> int errno_of(Call call)
{
    try {
        call();
    } catch (const Error& error) {
        return error.number();
    }
    return 0;
}

} // namespace

TEST_CASE("a table line of each kind is read and printed the same", "[unit]")
{
    const TableLine examples[] = {
        {0_s, 2048_s, Linear{DeviceNumber{8, 16}, 384_s}},
        {0_s, 2048_s, Linear{DmName("vg-home"), 0_s}},
        {2048_s, 4096_s, Striped{128_s, {{DeviceNumber{8, 16}, 0_s}, {DeviceNumber{8, 32}, 2048_s}}}},
        {0_s, 2048_s, Interpose{DeviceNumber{254, 3}, 2048_s, origin, 32_s}},
        {0_s, 2048_s, InterposeStore{DeviceNumber{254, 32}, 0_s}},
        {0_s, 2048_s, InterposeImage{origin, PointId{generation, 7}}},
        {0_s, 2048_s, InterposeImage{origin, std::nullopt}},
        {0_s, 2048_s, OtherTarget{"thin", "254:2 1"}},
        {0_s, 2048_s, OtherTarget{"zero", ""}},
    };
    for (const TableLine& line : examples) {
        INFO(to_text(line));
        CHECK(parse_line(to_text(line)) == line);
    }
    const Table table(std::begin(examples), std::end(examples));
    CHECK(parse_table(to_text(table)) == table);
}

TEST_CASE("a table line is printed as the kernel takes it", "[unit]")
{
    CHECK(to_text(TableLine{0_s, 8_s, Linear{DeviceNumber{8, 16}, 3_s}}) == "0 8 linear 8:16 3");
    CHECK(to_text(TableLine{0_s, 8_s, Interpose{DeviceNumber{8, 16}, 3_s, origin, 32_s}}) ==
          "0 8 interpose 8:16 3 " + O + " 32");
    CHECK(to_text(TableLine{0_s, 8_s, InterposeStore{DeviceNumber{8, 16}, 0_s}}) == "0 8 interpose-store 8:16 0");
    CHECK(to_text(TableLine{0_s, 8_s, InterposeImage{origin, PointId{generation, 5}}}) ==
          "0 8 interpose-image " + O + " " + G + " 5");
}

TEST_CASE("a known target with words of another grammar is kept as it is", "[unit]")
{
    for (const std::string& text : Texts{std::string("0 8 linear 8:16"), std::string("0 8 linear /dev/sda 0"),
             "0 8 interpose 8:16 0 " + O + " 32 more", std::string("0 8 interpose"),
             "0 8 interpose-image " + O + " @other", std::string("0 8 striped 2 128 8:16 0"),
             std::string("0 8 crypt aes-xts 00 0  8:1 0")}) {
        INFO(text);
        const TableLine line = parse_line(text);
        CHECK(std::holds_alternative<OtherTarget>(line.target));
        CHECK(to_text(line) == text);
    }
}

TEST_CASE("a line that is no table line is refused", "[unit]")
{
    for (const char* bad : {"", "0", "0 8", "x 8 linear", "0 -8 linear 8:16 0"})
        CHECK(errno_of([&] { parse_line(bad); }) == EINVAL);
}

TEST_CASE("an encryption key is not shown", "[unit]")
{
    const TableLine line = parse_line("0 8 crypt aes-xts-plain64 deadbeef 0 8:16 4096 1 allow_discards");
    CHECK(shown_text(line) == "0 8 crypt aes-xts-plain64 KEY 0 8:16 4096 1 allow_discards");
    CHECK(to_text(line).find("deadbeef") != std::string::npos);
}

TEST_CASE("the devices of a table are found once each", "[unit]")
{
    const Table table =
        parse_table("0 8 linear 8:16 0\n8 8 linear 8:32 0\n16 8 linear 8:16 8\n24 8 crypt c k 0 8:48 0\n");
    CHECK(devices(table) == std::vector<DeviceRef>{DeviceNumber{8, 16}, DeviceNumber{8, 32}, DeviceNumber{8, 48}});
    CHECK(length(table) == 32_s);
    CHECK(length({}) == 0_s);
    CHECK(interpose_line(table) == nullptr);
}

TEST_CASE("a point is named by generation and id", "[unit]")
{
    const PointId point{generation, 42};
    CHECK(PointId::from_text(point.text()) == point);
    for (const std::string& bad : Texts{std::string(), G, G + ":", G + ":x", ":1", G + ":1:2"})
        CHECK_FALSE(PointId::from_text(bad));
}

TEST_CASE("the status of an origin round-trips", "[unit]")
{
    const std::string line =
        "1 " + G + " active 5 3 2 1 " + S + " 32 0/67108864 4096/1048576 320/8388608 0 1234 store-full 8:1";
    const InterposeStatus status = parse_interpose_status(line);
    REQUIRE(status.details);
    CHECK(status.generation == generation);
    CHECK(status.details->last_id == 5);
    CHECK(status.details->points == 3);
    CHECK(status.details->snapshots == 2);
    CHECK(status.details->invalid_snapshots == 1);
    CHECK(status.details->store == store);
    CHECK(status.details->chunk == 32_s);
    CHECK(status.details->copy_bytes.bound == 67108864);
    CHECK(status.details->failure == "store-full");
    CHECK(status.details->hooked == DeviceNumber{8, 1});
    CHECK(to_text(status) == line);
    const std::string empty = "1 " + G + " active 0 0 0 0 - 32 0/1 0/1 0/1 0 0 - -";
    CHECK(to_text(parse_interpose_status(empty)) == empty);
    const std::string older = empty.substr(0, empty.size() - 2);
    CHECK(parse_interpose_status(older) == parse_interpose_status(empty));
    CHECK(parse_interpose_status(empty + " 17 later") == parse_interpose_status(empty));
}

TEST_CASE("another interface's status gives its first three fields", "[unit]")
{
    const InterposeStatus status = parse_interpose_status("2 " + G + " active whatever comes");
    CHECK(status.interface == 2);
    CHECK(status.generation == generation);
    CHECK(status.state == "active");
    CHECK_FALSE(status.details);
    CHECK(to_text(status) == "2 " + G + " active");
}

TEST_CASE("the status of a store and an image round-trips", "[unit]")
{
    const std::string of_store = "1 " + S + " ok 2048/8388608 2 17 640/8388608";
    CHECK(to_text(parse_store_status(of_store)) == of_store);
    CHECK(parse_store_status(of_store).details->usable == 8388608_s);
    const std::string of_image = "1 " + G + " invalid 7 store-full";
    CHECK(to_text(parse_image_status(of_image)) == of_image);
    CHECK(to_text(parse_image_status("1 " + G + " valid 7 -")) == "1 " + G + " valid 7 -");
}

TEST_CASE("a status that cannot be read is an error, not a guess", "[unit]")
{
    for (const std::string& bad :
        Texts{std::string(), std::string("1"), std::string("x ") + G + " active", "1 nothing active", "1 " + G,
            "1 " + G + " active 5 3", "1 " + G + " active 5 3 2 1 " + S + " 32 0 4096/1048576 320/1 0 1 -",
            "1 " + G + " active 5 3 2 1 nouuid 32 0/1 1/1 1/1 0 1 -"}) {
        INFO(bad);
        CHECK(errno_of([&] { parse_interpose_status(bad); }) == EPROTO);
    }
    CHECK(errno_of([&] { parse_store_status("1 " + S + " ok 5 1 1 1/1"); }) == EPROTO);
    CHECK(errno_of([&] { parse_image_status("1 " + G + " valid"); }) == EPROTO);
    CHECK(errno_of([&] { parse_base_status("1"); }) == EPROTO);
    CHECK(parse_base_status("1 253:4").endpoint == DeviceNumber{253, 4});
    CHECK_FALSE(parse_base_status("1 -").endpoint.has_value());
    CHECK_FALSE(parse_base_status("2").endpoint.has_value());
    CHECK(to_text(parse_base_status("1 253:4")) == "1 253:4");
}

TEST_CASE("messages have the words of the interface", "[unit]")
{
    CHECK(to_text(Message{StoreMessage{store}}) == "store " + S);
    CHECK(to_text(Message{UnstoreMessage{}}) == "unstore");
    CHECK(to_text(Message{DropMessage{{generation, 3}}}) == "drop " + G + " 3");
    CHECK(to_text(Message{ReleaseMessage{{generation, 3}}}) == "release " + G + " 3");
    const std::vector<SelectedPoint> selected = {{origin, {store, 7}}, {store, {origin, 9}}};
    const std::string selected_words = fmt::format(" {}/{}/7 {}/{}/9", O, S, S, O);
    CHECK(to_text(Message{DropMessage{{generation, 3}, selected}}) == "drop " + G + " 3" + selected_words);
    CHECK(to_text(Message{ReleaseMessage{{generation, 3}, selected}}) == "release " + G + " 3" + selected_words);
    CHECK(to_text(Message{RedirectMessage{DeviceNumber{253, 4}, std::chrono::seconds(1), {{8, 1}}}}) ==
          "redirect 253:4 1000 8:1");
    CHECK(to_text(Message{DirectMessage{}}) == "direct 10000");
    CHECK(to_text(Message{PointsMessage{0}}) == "points 0");
    CHECK(to_text(Message{ChangedMessage{generation, 1, std::nullopt, 0_s}}) == "changed " + G + " 1 now 0");
    CHECK(to_text(Message{ChangedMessage{generation, 1, 2, 64_s}}) == "changed " + G + " 1 2 64");
    TakeMessage take{.kind = PointKind::snapshot, .name = PointName("s1"), .members = {{generation, origin, {}}}};
    CHECK(to_text(Message{take}) == "take " + O + " snapshot s1 - 10000 -");
    take.kind = PointKind::checkpoint;
    take.data = {0, 0xff};
    take.members.front().freeze = {{254, 1}, {254, 0}};
    CHECK(to_text(Message{take}) == "take " + O + " checkpoint s1 00ff 10000 254:1,254:0");
    take.tags = Tags::from_text("daily,web/1");
    CHECK(to_text(Message{take}).ends_with(" daily,web/1"));
    take.members.push_back({store, generation, {{8, 1}}});
    take.members.push_back({origin, store, {}});
    const std::string others = fmt::format(" {}/{}/8:1 {}/{}/-", S, G, O, S);
    CHECK(to_text(Message{take}).ends_with(" daily,web/1" + others));
    take.tags = {};
    CHECK(to_text(Message{take}).ends_with(" 254:1,254:0 -" + others));
    ChangeMessage change{.point = {generation, 3}};
    CHECK(to_text(Message{change}) == "change " + G + " 3 = = =");
    change = {{generation, 3}, PointName("s2"), Tags(), Blob{}};
    CHECK(to_text(Message{change}) == "change " + G + " 3 s2 - -");
    change = {{generation, 3}, {}, Tags::from_text("a,b"), Blob{0x0a}};
    CHECK(to_text(Message{change}) == "change " + G + " 3 = a,b 0a");
    change.others = selected;
    CHECK(to_text(Message{change}) == "change " + G + " 3 = a,b 0a" + selected_words);
}

TEST_CASE("answers round-trip", "[unit]")
{
    const std::vector<TakeAnswer> taken = {{{generation, 4}, Consistency::fs}, {{store, 7}, Consistency::crash}};
    CHECK(parse_take_answer(to_text(taken)) == taken);
    CHECK(parse_take_answer(G + " 4 crash").at(0).consistency == Consistency::crash);

    const PointsPage page{generation, 9,
        {{3, PointKind::snapshot, false, 1700000000, origin, Consistency::fs, 1, PointName("s1"), {1, 2}},
            {4, PointKind::checkpoint, true, 1700000001, store, Consistency::crash, 0, PointName("c"), {},
                Tags::from_text("a,b=1"), 4096_s},
            {5, PointKind::snapshot, true, 1700000002, generation, Consistency::crash, 0, PointName("t"), {}, {},
                4096_s, store}}};
    CHECK(parse_points_page(to_text(page)) == page);
    CHECK_FALSE(parse_points_page(G + " -\n").next_id);

    const ChangedPage changed{generation, Sectors{4096}, {{0_s, 32_s}, {64_s, 32_s}}};
    CHECK(parse_changed_page(to_text(changed)) == changed);
    CHECK(parse_changed_page(G + " -\n").runs.empty());
}

TEST_CASE("an answer that cannot be read is an error, not a guess", "[unit]")
{
    for (const std::string& bad : Texts{std::string(), G, "- -\n", G + " x\n", G + " -\n3 snapshot\n",
             G + " -\n3 snapshot maybe 1 " + O + " fs 0 s1 -\n", G + " -\n3 snapshot valid 1 " + O + " fs 0 -bad -\n",
             G + " -\n3 snapshot valid 1 " + O + " fs 0 s1 0g\n"}) {
        INFO(bad);
        CHECK(errno_of([&] { parse_points_page(bad); }) == EPROTO);
    }
    CHECK(errno_of([&] { parse_take_answer(""); }) == EPROTO);
    CHECK(errno_of([&] { parse_take_answer(G); }) == EPROTO);
    CHECK(errno_of([&] { parse_take_answer(G + " 4 maybe"); }) == EPROTO);
    CHECK(errno_of([&] { parse_changed_page(G + " -\n5\n"); }) == EPROTO);
}
