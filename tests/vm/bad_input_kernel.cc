// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
//
// Nonsense for the module itself, past all that the tool checks: messages, table lines, headers of stores.
#include "bad_input.h"
#include "base/text.h"
#include "catch.h"
#include "disk.h"
#include "dm-interpose.h"
#include "dm_ioctl.h"
#include "dm_state.h"
#include "environment.h"
#include "world/crc32c.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fmt/format.h>

using namespace dmsnap;
using namespace dmsnap::literals;
using namespace dmsnap::test;

namespace {

const std::string some_uuid = "00112233-4455-4677-8899-aabbccddeeff";

/// A number that is none, or that does not fit.
const std::vector<std::string> bad_numbers = {"-1", "+1", "1x", "x", "0x1", "1.0", "1e1", "18446744073709551616",
    "99999999999999999999999999999999", "\xd9\xa1", "\x01", "1\x7f", std::string(5000, '9')};

const std::vector<std::string> bad_uuids = {"-", "0", "00112233-4455-4677-8899-aabbccddeef",
    "00112233-4455-4677-8899-aabbccddeeff0", "00112233_4455_4677_8899_aabbccddeeff",
    "00112233-4455-4677-8899-aabbccddeefg", "001122334455-4677-8899-aabbccddeeff-", std::string(5000, 'a')};

std::string joined(const std::vector<std::string>& words)
{
    std::string text;
    for (const std::string& word : words)
        text += (text.empty() ? "" : " ") + word;
    return text;
}

std::string excerpt(const std::string& text) { return shell_word(text.substr(0, 300)); }

/// Sends it to the origin, or another device, which must refuse it and be as it was.
void check_refused(const std::string& text, const std::vector<int>& errors, const std::string& device = "test-origin")
{
    const std::string before = device_mapper_state();
    const Answer answer = send_message(device, text);
    INFO(excerpt(text) << " -> " << answer.error << " " << answer.text);
    CHECK(std::find(errors.begin(), errors.end(), answer.error) != errors.end());
    CHECK(device_mapper_state() == before);
}

const std::vector<int> is_invalid = {EINVAL, ERANGE};

/// A message that would be understood, word by word.
struct Good {
    std::vector<std::string> words;
    std::size_t optional = 0; ///< words at its end that may be missing
};

std::vector<Good> good_messages(const std::string& generation)
{
    return {
        {{"store", some_uuid}},
        {{"unstore"}},
        {{"take", some_uuid, "checkpoint", "x", "-", "1000", "-", "-"}, 1},
        {{"change", generation, "2", "x", "-", "-"}},
        {{"drop", generation, "7"}},
        {{"release", generation, "7"}},
        {{"hook", "1000", "-"}},
        {{"unhook", "1000"}},
        {{"points", "0"}},
        {{"changed", generation, "1", "now", "0"}},
    };
}

/// `words` with one of them replaced.
std::string with(std::vector<std::string> words, std::size_t at, const std::string& word)
{
    words.at(at) = word;
    return joined(words);
}

/// What a table line must not be, for the target `interpose`.
struct Line {
    std::uint64_t start;
    std::uint64_t length;
    std::string target;
    std::string arguments;

    /// With the flag that it needs, so that it is not refused for want of that.
    int load(const std::string& device) const
    {
        return load_line(device, start, length, target, arguments, target == INTERPOSE_TARGET_IMAGE);
    }
};

std::string origin_line(
    const std::string& base, const std::string& start, const std::string& uuid, const std::string& chunk)
{
    return joined({base, start, uuid, chunk});
}

void check_line_refused(const std::string& device, const Line& line)
{
    const std::string before = device_mapper_state();
    const int error = line.load(device);
    INFO(line.start << " " << line.length << " " << line.target << " " << excerpt(line.arguments) << " -> " << error);
    CHECK(error != 0);
    CHECK(device_mapper_state() == before);
    if (error == 0)
        clear_device(device);
}

interpose_store_header header_for(std::uint64_t sectors)
{
    interpose_store_header header{};
    std::memcpy(header.magic, INTERPOSE_STORE_MAGIC, sizeof(header.magic));
    header.format = INTERPOSE_STORE_FORMAT;
    std::memset(header.uuid, 0x5a, sizeof(header.uuid));
    header.created = 1;
    header.sectors = sectors;
    header.granule_sectors = 32;
    return header;
}

void write_header(const std::string& device, interpose_store_header header, bool right_checksum)
{
    static_assert(sizeof(header) == INTERPOSE_STORE_HEADER_BYTES);
    Buffer buffer(Bytes{sizeof(header)});
    header.checksum = 0;
    std::memcpy(buffer.span().data(), &header, sizeof(header));
    header.checksum = crc32c(buffer.span()) + (right_checksum ? 0 : 1);
    std::memcpy(buffer.span().data(), &header, sizeof(header));
    Disk(device).write({0}, buffer.span());
}

} // namespace

TEST_CASE("messages that make no sense are refused and change nothing", "[bad-input-messages]")
{
    const Targets targets;
    const std::string generation = targets.origin().generation();
    for (const std::string& text : {std::string(), std::string(" "), std::string("\x01"), std::string("snapshot"),
             std::string("Take"), std::string("take\x7f"), std::string("\\"), std::string(16000, 'a'),
             std::string(16000, ' '), joined(std::vector<std::string>(5000, "a"))})
        check_refused(text, is_invalid);
    for (const Good& good : good_messages(generation)) {
        auto words = good.words;
        for (words.resize(words.size() - good.optional - 1); !words.empty(); words.pop_back())
            check_refused(joined(words), is_invalid);
        words = good.words;
        words.emplace_back("-");
        check_refused(joined(words), is_invalid);
        words.resize(2000, "-");
        check_refused(joined(words), is_invalid);
    }
    for (const std::string& uuid : bad_uuids) {
        check_refused(joined({"store", uuid}), is_invalid);
        check_refused(joined({"take", uuid, "checkpoint", "x", "-", "1000", "-"}), is_invalid);
        check_refused(joined({"drop", uuid, "1"}), is_invalid);
        check_refused(joined({"release", uuid, "1"}), is_invalid);
        check_refused(joined({"change", uuid, "1", "=", "=", "="}), is_invalid);
        check_refused(joined({"changed", uuid, "1", "now", "0"}), is_invalid);
    }
    for (const std::string& number : bad_numbers) {
        if (number == "+1") // the kernel's own numbers may have a sign
            continue;
        check_refused(joined({"drop", generation, number}), is_invalid);
        check_refused(joined({"release", generation, number}), is_invalid);
        check_refused(joined({"change", generation, number, "=", "=", "="}), is_invalid);
        check_refused(joined({"points", number}), is_invalid);
        check_refused(joined({"hook", number, "-"}), is_invalid);
        check_refused(joined({"hook", "1000", number}), is_invalid);
        check_refused(joined({"unhook", number}), is_invalid);
        check_refused(joined({"changed", generation, number, "now", "0"}), is_invalid);
        check_refused(joined({"changed", generation, "1", number, "0"}), is_invalid);
        check_refused(joined({"changed", generation, "1", "now", number}), is_invalid);
        check_refused(joined({"take", some_uuid, "checkpoint", "x", "-", number, "-"}), is_invalid);
        check_refused(joined({"take", some_uuid, "checkpoint", "x", "-", "1000", number}), is_invalid);
        check_refused(joined({"take", some_uuid, "checkpoint", "x", "-", "1000", number + ":0"}), is_invalid);
        check_refused(joined({"take", some_uuid, "checkpoint", "x", "-", "1000", "0:" + number}), is_invalid);
    }
    const std::vector<std::string> take = {"take", some_uuid, "checkpoint", "x", "-", "1000", "-"};
    for (const std::string kind : {"-", "Snapshot", "checkpoints", "s", "\xff"})
        check_refused(with(take, 2, kind), is_invalid);
    for (const std::string& name : {std::string("."), std::string(".."), std::string("-x"), std::string("a/b"),
             std::string("a:b"), std::string("a\\\\b"), std::string("\xc3\xbc"), std::string(128, 'n'),
             std::string(200, 'n'), std::string(9000, 'n')})
        for (const std::string& text : {with(take, 3, name), joined({"change", generation, "2", name, "=", "="})})
            check_refused(text, is_invalid);
    for (const std::string& data : {std::string("0"), std::string("0g"), std::string("--"), std::string("0x00"),
             std::string(513, '0'), std::string(514, '0'), std::string(9000, '0')})
        for (const std::string& text : {with(take, 4, data), joined({"change", generation, "2", "=", "=", data})})
            check_refused(text, is_invalid);
    for (const std::string& tags : {std::string(","), std::string("a,"), std::string(",a"), std::string("a,,b"),
             std::string("-a"), std::string("a,-b"), std::string("a;b"), std::string("a*"), std::string("\xc3\xbc"),
             std::string(INTERPOSE_TAGS_MAX + 1, 't'), std::string(9000, 't')})
        for (const std::string& text : {joined(take) + " " + tags, joined({"change", generation, "2", "=", tags, "="})})
            check_refused(text, is_invalid);
    for (const std::string deadline : {"0", "600001", "4294967295", "4294967296"})
        for (const std::string& text : {with(take, 5, deadline), "hook " + deadline + " -", "unhook " + deadline})
            check_refused(text, is_invalid);
    for (const std::string freeze : {"1", ":", "1:", ":1", "1:1,", ",1:1", "1:1,,1:2", "1:1;1:2", "4096:0", "0:1048576",
             "4294967296:4294967296", "8:1:1"})
        check_refused(with(take, 6, freeze), is_invalid);
    std::string many = "1:1";
    for (int i = 0; i < INTERPOSE_FREEZE_MAX; ++i)
        many += fmt::format(",1:{}", i + 2);
    check_refused(with(take, 6, many), {E2BIG, EINVAL});
    const std::string table = must({"dmsetup", "table", "test-origin"});
    const std::string own(words(table).at(5));
    for (const std::string& member :
        {std::string("-"), std::string("/"), std::string("//"), some_uuid, some_uuid + "/", some_uuid + "/" + some_uuid,
            some_uuid + "/" + some_uuid + "/", some_uuid + "/x/-", "x/" + some_uuid + "/-",
            some_uuid + "/" + some_uuid + "/-/-", some_uuid + "/" + some_uuid + "/1:1,", own + "/" + some_uuid + "/-"})
        check_refused(joined(take) + " - " + member, is_invalid);
    check_refused(joined(take) + fmt::format(" - {0}/{0}/-", some_uuid), {ENXIO});
    check_refused(joined(take) + fmt::format(" - {0}/{0}/1:1 {0}/{0}/-", some_uuid), {ENXIO});
    std::string too_many = joined(take) + " -";
    for (int i = 0; i < INTERPOSE_SET_MAX; ++i)
        too_many += fmt::format(" {0}/{0}/-", some_uuid);
    check_refused(too_many, is_invalid);
    const std::vector<std::string> for_points[] = {
        {"drop", generation, "2"}, {"release", generation, "2"}, {"change", generation, "2", "x", "-", "-"}};
    for (const auto& message : for_points) {
        const std::string text = joined(message) + " ";
        for (const std::string& selected : {std::string("-"), std::string("/"), std::string("//"), some_uuid,
                 some_uuid + "/" + some_uuid, "x/" + some_uuid + "/1", own + "/" + generation + "/1",
                 own + "/" + generation + "/2", own + "/" + generation + "/", own + "/" + generation + "/1/"})
            check_refused(text + selected, is_invalid);
        check_refused(text + fmt::format("{0}/{0}/1", some_uuid), {ENXIO});
        std::string seventeen = text;
        for (int i = 0; i < INTERPOSE_SET_MAX; ++i)
            seventeen += fmt::format(" {0}/{0}/1", some_uuid);
        check_refused(seventeen, is_invalid);
    }
    check_refused(with(take, 3, "s1"), {EEXIST});
    check_refused("hook 1000 -", {EBUSY}); // points have been taken, and its base is no interpose-base
    check_refused(joined({"store", some_uuid}), {ENODEV, EBUSY});
    check_refused("unstore", {EBUSY});
    check_refused(joined({"drop", generation, "1"}), {EBUSY});
    for (const std::string id : {"0", "3", "18446744073709551615"}) {
        check_refused(joined({"drop", generation, id}), {ENOENT});
        check_refused(joined({"release", generation, id}), {ENOENT});
        check_refused(joined({"changed", generation, id, "now", "0"}), {ENOENT, EINVAL});
        check_refused(joined({"changed", generation, "1", id, "0"}), {ENOENT, EINVAL});
    }
    check_refused(joined({"change", generation, "2", "s1", "=", "="}), {EEXIST});
    check_refused(joined({"change", generation, "3", "x", "=", "="}), {ENOENT});
    check_refused(joined({"change", some_uuid, "2", "x", "=", "="}), {ESTALE});
    check_refused(joined({"drop", some_uuid, "1"}), {ESTALE});
    check_refused(joined({"release", some_uuid, "1"}), {ESTALE});
    check_refused(joined({"changed", some_uuid, "1", "now", "0"}), {ESTALE});
    check_refused(joined({"changed", generation, "2", "1", "0"}), {EINVAL});
    check_refused(joined({"changed", generation, "1", "Now", "0"}), is_invalid);
    // Beyond the end there is nothing, which is no error.
    CHECK(send_message("test-origin", joined({"changed", generation, "1", "now", "18446744073709551615"})).text ==
          generation + " -\n");
    CHECK(send_message("test-origin", joined({"points", "18446744073709551615"})).text == generation + " -\n");
    CHECK(send_message("test-origin", "points 0", 131071).error == 0);
    CHECK(send_message("test-origin", "points 0", 131072).error != 0);
}

TEST_CASE("every byte at every place of a message does no harm", "[bad-input-messages]")
{
    const Targets targets;
    const std::string generation = targets.origin().generation();
    for (const Good& good : good_messages(generation)) {
        if (good.words[0] == "unstore")
            continue;
        for (std::size_t at = 0; at < good.words.size(); ++at)
            for (int byte = 1; byte < 256; ++byte) {
                const std::string text = with(good.words, at, std::string(1, static_cast<char>(byte)));
                const Answer answer = send_message("test-origin", text);
                if (answer.error == 0 && good.words[0] == "take") { // a name of one letter
                    const auto id = words(answer.text).at(1);
                    CHECK(send_message("test-origin", fmt::format("drop {} {}", generation, id)).error == 0);
                }
            }
    }
    Random random;
    const auto messages = good_messages(generation);
    for (int i = 0; i < 3000; ++i) {
        std::string text = joined(messages[random.below(messages.size())].words);
        for (std::uint64_t changes = random.between(1, 4); changes > 0 && !text.empty(); --changes) {
            const std::size_t at = random.below(text.size());
            switch (random.below(3)) {
            case 0: text[at] = static_cast<char>(random.between(1, 255)); break;
            case 1: text.erase(at, random.between(1, 8)); break;
            default: text.insert(at, random.between(1, 300), static_cast<char>(random.between(1, 255)));
            }
        }
        send_message("test-origin", text);
    }
    CHECK(targets.origin().generation() == generation);
    CHECK(targets.origin().status().snapshots == 1);
    Buffer buffer(4_KiB);
    Disk(targets.origin().path()).write({0}, buffer.span());
    Disk(targets.origin().image("s1")).read({0}, buffer.span());
}

TEST_CASE("messages to a base that make no sense are refused and change nothing", "[bad-input-messages]")
{
    must({"modprobe", "dm-interpose"});
    const std::string live = first_line({"stat", "--format", "%Hr:%Lr", spare_disk()});
    const DmDevice base("test-base", fmt::format("0 131072 interpose-base {} 0", live));
    const DmDevice endpoint("test-end", fmt::format("0 131072 linear {} 0", base.path()));
    const std::string end = first_line({"dmsetup", "info", "-c", "--noheadings", "-o", "major,minor", "test-end"});
    const auto refuse = [&](const std::string& text, const std::vector<int>& errors = {EINVAL, ERANGE}) {
        check_refused(text, errors, "test-base");
    };
    const std::vector<Good> all = {{{"redirect", end, "1000", "-"}}, {{"direct", "1000"}}};
    for (const Good& good : all) {
        auto text = good.words;
        for (text.pop_back(); !text.empty(); text.pop_back())
            refuse(joined(text));
        text = good.words;
        text.emplace_back("-");
        refuse(joined(text));
        text.resize(2000, "-");
        refuse(joined(text));
        for (const std::string deadline : {"0", "600001", "4294967296"})
            refuse(with(good.words, good.words[0] == "direct" ? 1 : 2, deadline));
    }
    for (const std::string& number : bad_numbers) {
        if (number == "+1")
            continue;
        refuse(joined({"redirect", number, "1000", "-"}));
        refuse(joined({"redirect", end, number, "-"}));
        refuse(joined({"redirect", end, "1000", number}));
        refuse(joined({"direct", number}));
    }
    for (const std::string& device : {live, std::string("4096:0"), std::string(":"), std::string("1:")})
        refuse(joined({"redirect", device, "1000", "-"}));
    refuse(joined({"redirect", "0:0", "1000", "-"}), {ENODEV, ENXIO, EINVAL});
    refuse("take " + some_uuid + " checkpoint x - 1000 -");
    for (int byte = 1; byte < 256; ++byte)
        for (std::size_t at = 0; at < all[0].words.size(); ++at)
            if (send_message("test-base", with(all[0].words, at, std::string(1, static_cast<char>(byte)))).error == 0)
                CHECK(send_message("test-base", "direct 1000").error == 0); // a deadline of some milliseconds
    CHECK(must({"dmsetup", "status", "test-base"}).ends_with(" -\n"));
}

TEST_CASE("table lines that make no sense are refused and change nothing", "[bad-input-lines]")
{
    const Targets targets;
    create_device("test-empty");
    const std::string base = spare_disk();
    const auto interpose = [&](const std::string& arguments, std::uint64_t start = 0, std::uint64_t length = 8192) {
        check_line_refused("test-empty", {start, length, INTERPOSE_TARGET, arguments});
    };
    for (const std::string& text : {std::string(), base, joined({base, "0"}), joined({base, "0", some_uuid}),
             joined({base, "0", some_uuid, "32", "32"}), joined({base, "0", some_uuid, "32", "bogus"}),
             joined({base, "0", some_uuid, "32", "provisional", "provisional"}),
             joined(std::vector<std::string>(3000, "0"))})
        interpose(text);
    for (const std::string device :
        {"-", "0:0", "nothing", "/dev/null", "/", "/etc/passwd", "99999:99999", "\xff", "/dev/mapper/test-empty"})
        interpose(origin_line(device, "0", some_uuid, "32"));
    for (const std::string& start : bad_numbers)
        if (start != "+1")
            interpose(origin_line(base, start, some_uuid, "32"));
    // The disk has 2 GiB.
    for (const std::string start : {"4194304", "4186113", "18446744073709551615", "9223372036854775808",
             "18446744073709543424", "36028797018963968"})
        interpose(origin_line(base, start, some_uuid, "32"));
    for (const std::string& uuid : bad_uuids)
        interpose(origin_line(base, "0", uuid, "32"));
    for (const std::string chunk : {"0", "1", "3", "4", "7", "9", "33", "4096", "2147483648", "4294967296",
             "4294967328", "-32", "32k", "32.0", "0x20x", "", "\x01"})
        interpose(origin_line(base, "0", some_uuid, chunk));
    interpose(origin_line(base, "0", some_uuid, "32"), 1);
    interpose(origin_line(base, "0", some_uuid, "32"), 0, 0);
    interpose(origin_line(base, "0", some_uuid, "32"), 0, 4194305);
    interpose(origin_line(base, "0", some_uuid, "32"), 0, std::uint64_t{1} << 63);
    interpose(origin_line(base, "0", some_uuid, "32"), 0, ~std::uint64_t{0});
    // The origin's own uuid on another device, and its own table shorter or with another chunk.
    const std::string table = must({"dmsetup", "table", "test-origin"});
    const auto fields = words(table);
    REQUIRE(fields.size() >= 7);
    const std::string line = fmt::format("{} {} {}", fields[3], fields[4], fields[5]);
    interpose(line + " 32", 0, 131072);
    check_line_refused("test-origin", {0, 131071, INTERPOSE_TARGET, line + " 32"});
    check_line_refused("test-origin", {0, 131072, INTERPOSE_TARGET, line + " 64"});
    check_line_refused(
        "test-origin", {0, 131072, INTERPOSE_TARGET, origin_line("/dev/mapper/test-origin", "0", some_uuid, "32")});

    const auto image = [&](const std::string& arguments, std::uint64_t length = 131072) {
        check_line_refused("test-empty", {0, length, INTERPOSE_TARGET_IMAGE, arguments});
    };
    const std::string origin{fields[5]};
    const std::string generation = targets.origin().generation();
    for (const std::string& text : {std::string(), origin, joined({origin, generation}),
             joined({origin, generation, "1", "1"}), joined({some_uuid, generation, "1"}),
             joined({origin, some_uuid, "1"}), joined({origin, generation, "0"}), joined({origin, generation, "2"}),
             joined({origin, generation, "3"}), joined({"-", generation, "1"}), joined({origin, "-", "1"})})
        image(text);
    for (const std::string& id : bad_numbers)
        if (id != "+1")
            image(joined({origin, generation, id}));
    image(joined({origin, generation, "1"}), 131071);
    image(joined({origin, generation, "1"}), 131073);
    image(joined({origin, generation, "1"}), 0);
    // And the right one is taken, but not to be written to: the refusals are not for another reason.
    const Line right{0, 131072, INTERPOSE_TARGET_IMAGE, joined({origin, generation, "1"})};
    CHECK(load_line("test-empty", right.start, right.length, right.target, right.arguments) != 0);
    CHECK(right.load("test-empty") == 0);
    CHECK(clear_device("test-empty") == 0);

    const std::string live = first_line({"stat", "--format", "%Hr:%Lr", base});
    const auto base_of = [&](const std::string& arguments, std::uint64_t length = 8192) {
        check_line_refused("test-empty", {0, length, INTERPOSE_TARGET_BASE, arguments});
    };
    for (const std::string& text : {std::string(), live, joined({live, "0", "0"}), joined({base, "0"}),
             std::string("- 0"), std::string("0:0 0"), std::string("4096:0 0"), std::string("1:3 0"),
             joined({live, "4194304"}), joined({live, "4186113"}), joined({live, "18446744073709551615"})})
        base_of(text);
    for (const std::string& start : bad_numbers)
        if (start != "+1")
            base_of(joined({live, start}));
    for (const std::uint64_t length : {std::uint64_t{0}, std::uint64_t{4194305}, ~std::uint64_t{0}})
        base_of(joined({live, "0"}), length);
    CHECK(load_line("test-empty", 0, 8192, INTERPOSE_TARGET_BASE, joined({live, "0"})) == 0);
    CHECK(clear_device("test-empty") == 0);

    const auto store = [&](const std::string& arguments, std::uint64_t length = 131072) {
        check_line_refused("test-empty", {0, length, INTERPOSE_TARGET_STORE, arguments});
    };
    for (const std::string& text : {std::string(), base, joined({base, "0", "0"}), joined({"nothing", "0"}),
             joined({"/dev/null", "0"}), joined({base, "0"}), joined({store_disk(), "8"}), joined({base, "4194304"})})
        store(text);
    for (const std::string& start : bad_numbers)
        if (start != "+1")
            store(joined({store_disk(), start}));
    CHECK(remove_device("test-empty") == 0);
}

TEST_CASE("a store whose header is broken is not opened", "[bad-input-headers]")
{
    must({"modprobe", "dm-interpose"});
    constexpr std::uint64_t length = 131072;
    const DmDevice device("test-store", fmt::format("0 {} linear {} 0", length, store_disk()));
    create_device("test-empty");
    const auto check = [&](const char* what, const interpose_store_header& header, bool right_checksum = true,
                           std::uint64_t table_length = 131072) {
        INFO(what);
        write_header(device.path(), header, right_checksum);
        check_line_refused("test-empty", {0, table_length, INTERPOSE_TARGET_STORE, device.path() + " 0"});
    };
    const interpose_store_header good = header_for(length);
    interpose_store_header header = good;
    check("checksum", good, false);
    header.magic[7] ^= 1;
    check("magic", header);
    for (const std::uint32_t format : {0U, INTERPOSE_STORE_FORMAT + 1U, ~0U}) {
        header = good;
        header.format = format;
        check("format", header);
    }
    for (const std::uint32_t granule : {0U, 1U, 4U, 7U, 33U, 4096U, 1U << 31, ~0U}) {
        header = good;
        header.granule_sectors = granule;
        check("granule", header);
    }
    for (const std::uint64_t sectors : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{2048}, std::uint64_t{2079},
             std::uint64_t{8191}, length + 1, std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
        header = good;
        header.sectors = sectors;
        check("sectors", header);
    }
    check("table shorter than the store", good, true, length - 8);
    check("table of no length", good, true, 0);
    check("table beyond the device", good, true, length + 8);
    must({"dd", "if=/dev/zero", "of=" + device.path(), "bs=4k", "count=1", "oflag=direct", "status=none"});
    check_line_refused("test-empty", {0, length, INTERPOSE_TARGET_STORE, device.path() + " 0"});

    // And the same without a fault is opened: the refusals are not for another reason.
    write_header(device.path(), good, true);
    CHECK(load_line("test-empty", 0, length, INTERPOSE_TARGET_STORE, device.path() + " 0") == 0);
    CHECK(remove_device("test-empty") == 0);
}
