// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors

#include "catch.h"

#include "base/device_number.h"
#include "base/error.h"
#include "base/names.h"
#include "base/signals.h"
#include "base/text.h"
#include "base/units.h"
#include "base/uuid.h"

#include <cerrno>
#include <set>

using namespace dmsnap;
using namespace dmsnap::literals;

TEST_CASE("a size is read as LVM reads it", "[unit]")
{
    CHECK(parse_size("16k", 'm') == 32_s);
    CHECK(parse_size("16K", 'm') == 32_s);
    CHECK(parse_size("16", 'k') == 32_s);
    CHECK(parse_size("1", 'm') == 2048_s);
    CHECK(parse_size("1.5k", 'm') == 3_s);
    CHECK(parse_size(".5k", 'm') == 1_s);
    CHECK(parse_size("1.", 'k') == 2_s);
    CHECK(parse_size("7s", 'm') == 7_s);
    CHECK(parse_size("1024b", 'm') == 2_s);
    CHECK(parse_size("0", 'k') == 0_s);
    CHECK(parse_size("1g", 'k') == Sectors::exactly(1_GiB));
    CHECK(parse_size("7e", 'k') == Sectors{std::uint64_t{7} << 51});
}

TEST_CASE("a size that is none is refused as wrong usage", "[unit]")
{
    for (const char* text : {"", "k", ".", ".k", "+1k", "-1k", "1x", "1kk", "1 k", "1..5k", "1.2.3k", "511b", "1.3s",
             "0x10", "8e", "99999999999999999999", "18446744073709551616", "0.0000000000000000001k", "1,5k"}) {
        INFO(text);
        try {
            parse_size(text, 'k');
            FAIL("was read");
        } catch (const Error& error) {
            CHECK(error.fault() == Fault::usage);
            CHECK_FALSE(error.next_step().empty());
        }
    }
}

TEST_CASE("an exact size is read back as it was", "[unit]")
{
    CHECK(exact_size(32_s) == "16k");
    CHECK(exact_size(2048_s) == "1m");
    CHECK(exact_size(2050_s) == "1025k");
    CHECK(exact_size(1_s) == "1s");
    CHECK(exact_size(0_s) == "0s");
    for (std::uint64_t count : {1U, 2U, 7U, 8U, 2048U, 2049U, 4096U, 1U << 21, 4000000000U})
        CHECK(parse_size(exact_size({count}), 'b') == Sectors{count});
}

TEST_CASE("a size is shown in the unit that was asked for", "[unit]")
{
    CHECK(show_size({0}, 'r') == "0b");
    CHECK(show_size({1023}, 'h') == "1023b");
    CHECK(show_size(1_GiB, 'r') == "1.00g");
    CHECK(show_size({(1ULL << 30) - 1}, 'r') == "<1024.00m");
    CHECK(show_size({1535}, 'h') == "1.50k");
    CHECK(show_size({1535}, 'r') == "<1.50k");
    CHECK(show_size({8388608}, 'b') == "8388608B");
    CHECK(show_size({8388608}, 's') == "16384S");
    CHECK(show_size({8388608}, 'k') == "8192.00k");
    CHECK(show_size({1000000}, 'M') == "1.00M");
    CHECK(show_size({~0ULL}, 'e') == "16.00e");
    for (char bad : {'x', '0', ' ', '\0'})
        CHECK_THROWS_AS(show_size({1}, bad), Error);
}

TEST_CASE("sectors are never rounded by themselves", "[unit]")
{
    CHECK(Sectors::exactly({1024}) == 2_s);
    CHECK_THROWS_AS(Sectors::exactly({1023}), Error);
    CHECK(round_down(17_s, 8_s) == 16_s);
    CHECK(round_down(7_s, 8_s) == 0_s);
    CHECK((3_s).bytes() == Bytes{1536});
}

TEST_CASE("a chunk is a power of two within the bounds", "[unit]")
{
    for (std::uint64_t count = 8; count <= 2048; count *= 2)
        CHECK(checked_chunk({count}) == Sectors{count});
    for (std::uint64_t count : {0U, 1U, 4U, 9U, 24U, 2047U, 4096U})
        CHECK_THROWS_AS(checked_chunk({count}), Error);
}

TEST_CASE("a uuid round-trips and only in its one form", "[unit]")
{
    const std::string text = "0123abcd-4567-4bcd-8ef0-00000000000f";
    const auto uuid = Uuid::from_text(text);
    REQUIRE(uuid);
    CHECK(uuid->text() == text);
    CHECK(uuid->id() == "0123abcd");
    CHECK(uuid->octets()[0] == 0x01);
    CHECK(uuid->octets()[15] == 0x0f);
    for (const char* bad : {"", "0123ABCD-4567-4bcd-8ef0-00000000000f", "0123abcd-4567-4bcd-8ef0-00000000000",
             "0123abcd-4567-4bcd-8ef0-00000000000f0", "0123abcd4567-4bcd-8ef0-00000000000ff",
             "{123abcd-4567-4bcd-8ef0-00000000000f", "0123abcd-4567-4bcd-8ef0-00000000000g"}) {
        INFO(bad);
        CHECK_FALSE(Uuid::from_text(bad));
    }
}

TEST_CASE("random uuids are of version 4 and differ", "[unit]")
{
    std::set<Uuid> seen;
    for (int i = 0; i < 100; ++i) {
        const Uuid uuid = Uuid::random();
        CHECK(uuid.text()[14] == '4');
        CHECK(std::string("89ab").find(uuid.text()[19]) != std::string::npos);
        seen.insert(uuid);
    }
    CHECK(seen.size() == 100);
}

TEST_CASE("a point's name follows LVM's rules", "[unit]")
{
    for (const char* good : {"a", "before-upgrade", "2026-11-21_01.00", "+x", "_", "...", ".a", "a."})
        CHECK(PointName(good).text() == good);
    CHECK(PointName(std::string(127, 'x')).text().size() == 127);
    for (const std::string& bad :
        {std::string(), std::string("-a"), std::string("."), std::string(".."), std::string("a b"), std::string("a/b"),
            std::string("a\nb"), std::string("ä"), std::string(128, 'x'), std::string("a\0b", 3)}) {
        INFO(bad);
        CHECK_THROWS_AS(PointName(bad), Error);
    }
}

TEST_CASE("a tag keeps LVM's rules, and a point's tags are each there once", "[base]")
{
    for (const char* good : {"a", "A-1", "_", "+x", ".", "web/1", "a=b!c:d&e#f", "=="}) {
        INFO(good);
        CHECK(Tag(good).text() == good);
    }
    for (const std::string& bad :
        std::vector<std::string>{"", "-a", "=", "a b", "a,b", "a\n", "\x01", "\xc3\xa4", "@a", std::string(256, 'x')}) {
        INFO(bad);
        CHECK_THROWS_AS(Tag(bad), Error);
    }
    Tags tags = Tags::from_text("b,a,b");
    CHECK(tags.text() == "b,a");
    tags.add(Tag("a"));
    tags.remove(Tag("b"));
    tags.remove(Tag("b"));
    CHECK(tags.text() == "a");
    tags.add(Tag(std::string(253, 'x')));
    CHECK(tags.text().size() == 255);
    CHECK_THROWS_AS(tags.add(Tag("y")), Error);
    CHECK(Tags::from_text("").empty());
    CHECK_THROWS_AS(Tags::from_text("a,"), Error);
}

TEST_CASE("a device-mapper name is anything the kernel takes", "[unit]")
{
    CHECK(DmName("vg-home").text() == "vg-home");
    CHECK(DmName("a b\\x20").text() == "a b\\x20");
    CHECK_THROWS_AS(DmName(""), Error);
    CHECK_THROWS_AS(DmName("a/b"), Error);
    CHECK_THROWS_AS(DmName(std::string(128, 'x')), Error);
}

TEST_CASE("a device number is two numbers and a colon", "[unit]")
{
    CHECK(DeviceNumber::from_text("254:17") == DeviceNumber{254, 17});
    CHECK(DeviceNumber{8, 1}.text() == "8:1");
    for (const char* bad : {"", ":", "8", "8:", ":1", "8:1:2", "-8:1", "8:1 ", "a:b", "8:4294967296"})
        CHECK_FALSE(DeviceNumber::from_text(bad));
}

TEST_CASE("numbers are digits alone and never wrap", "[unit]")
{
    CHECK(parse_u64("18446744073709551615") == 18446744073709551615U);
    for (const char* bad : {"", "18446744073709551616", "-1", "+1", " 1", "1 ", "0x1", "1.0"})
        CHECK_FALSE(parse_u64(bad));
}

TEST_CASE("hex carries every byte", "[unit]")
{
    Blob all;
    for (unsigned i = 0; i < 256; ++i)
        all.push_back(static_cast<std::uint8_t>(i));
    CHECK(from_hex(to_hex(all)) == all);
    CHECK(from_hex("") == Blob{});
    CHECK(from_hex("aBcD") == Blob{0xab, 0xcd});
    for (const char* bad : {"a", "0g", "0x", " 00"})
        CHECK_FALSE(from_hex(bad));
}

TEST_CASE("text is split without losing or inventing words", "[unit]")
{
    CHECK(words("  a \t b  ") == std::vector<std::string_view>{"a", "b"});
    CHECK(words("").empty());
    CHECK(lines("a\n\nb\n") == std::vector<std::string_view>{"a", "", "b"});
    CHECK(lines("").empty());
    CHECK(split("a,,b", ',') == std::vector<std::string_view>{"a", "", "b"});
    CHECK(split("", ',') == std::vector<std::string_view>{""});
}

TEST_CASE("a foreign name cannot steer the terminal and has an end", "[unit]")
{
    CHECK(printable("vg-home") == "vg-home");
    CHECK(printable("gr\xc3\xb6\xc3\x9f") == "gr\xc3\xb6\xc3\x9f");
    CHECK(printable("a\x1b[31m\n") == "a\\x1b[31m\\x0a");
    CHECK(printable("\xc2\x9b") == "\\xc2\\x9b");
    CHECK(printable("\xff\xc3") == "\\xff\\xc3");
    CHECK(printable(std::string(1000, 'x'), 10) == "xxxxxxxxxx...");
}

TEST_CASE("a word stays one word to a shell", "[unit]")
{
    CHECK(shell_word("vg-home") == "'vg-home'");
    CHECK(shell_word("a b$(c)") == "'a b$(c)'");
    CHECK(shell_word("it's") == "'it'\\''s'");
    CHECK(shell_word("") == "''");
    CHECK(shell_word("a\n'\x1b[1m\\") == "$'a\\012\\047\\033[1m\\134'");
}

TEST_CASE("an error says who, what, why and what next", "[unit]")
{
    const Error error("vg-home", "load its table", EBUSY, "dmsetup ls --tree shows who holds it");
    CHECK(std::string(error.what()) == "vg-home: cannot load its table: Device or resource busy");
    CHECK(error.number() == EBUSY);
    CHECK(error.fault() == Fault::failed);
    CHECK(error.as(Fault::usage).fault() == Fault::usage);
    CHECK(std::string(error.as(Fault::usage).what()) == error.what());
}

TEST_CASE("signals that would stop or end the program wait", "[unit]")
{
    const auto waits = [](int signal) {
        sigset_t pending;
        sigpending(&pending);
        return sigismember(&pending, signal) == 1;
    };
    struct sigaction ignore = {};
    ignore.sa_handler = [](int) {};
    for (const int signal : {SIGINT, SIGTERM, SIGTSTP, SIGALRM, SIGUSR1, SIGUSR2, SIGTTOU, SIGPIPE}) {
        INFO(signal);
        struct sigaction before = {};
        sigaction(signal, &ignore, &before); // for its end
        {
            const SignalsWait wait;
            raise(signal);
            CHECK(waits(signal));
        }
        CHECK_FALSE(waits(signal));
        sigaction(signal, &before, nullptr);
    }
}
