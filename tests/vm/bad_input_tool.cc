// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
//
// Nonsense on the command line: the documented exit status, a message that says who, what and why, and nothing
// changed. What a store must not be is in scenarios/refusals.sh.
#include "bad_input.h"
#include "catch.h"
#include "dm_state.h"
#include "environment.h"

#include <fmt/format.h>

using namespace dmsnap;
using namespace dmsnap::literals;
using namespace dmsnap::test;

namespace {

struct Refusal {
    int status;
    std::string says; ///< part of standard error
    Arguments words;
    std::string input = {}; ///< standard input
};

constexpr int no_such_verb = 2;
constexpr int usage = 3;
constexpr int failed = 5;
constexpr int chain_broken = 7;

void check_refused(const Refusal& refusal)
{
    const std::string before = device_mapper_state();
    const Result result = run_tool(refusal.words, refusal.input);
    INFO("dmsnap" << shown(refusal.words) << "\n" << result.out << result.err);
    CHECK(result.status == refusal.status);
    CHECK(result.out == "");
    CHECK(fault_in_message(result.err) == "");
    CHECK(result.err.find(refusal.says) != std::string::npos);
    CHECK(device_mapper_state() == before);
}

void check_all(const std::vector<Refusal>& refusals)
{
    for (const Refusal& refusal : refusals)
        check_refused(refusal);
}

/// The same words with each of these at the end.
void check_each(
    int status, const std::string& says, const Arguments& words, const std::vector<std::string>& last, bool with_device)
{
    for (const std::string& value : last) {
        Refusal refusal{status, says, words};
        refusal.words.push_back(value);
        if (with_device)
            refusal.words.emplace_back("test-plain");
        check_refused(refusal);
    }
}

const std::string long_name(200, 'n');

} // namespace

TEST_CASE("a command line that makes no sense is refused", "[bad-input-words]")
{
    const Targets targets;
    check_each(no_such_verb, "no such verb", {},
        {"snapshoot", "", " ", "ATTACH", "attach ", "\x1b[31mred", "att", long_name}, false);
    check_all({
        {usage, "the verb is missing", {}},
        {usage, "the verb is missing", {"--attach"}},
        {usage, "the verb is missing", {"-v", "-x"}},
        {usage, "no-such", {"--no-such", "attach", "test-plain"}},
        {usage, "too many", {"help", "attach", "detach"}},
        {no_such_verb, "no such verb", {"help", "snapshoot"}},
        {usage, "no-such", {"attach", "--no-such", "test-plain"}},
        {usage, "-Z", {"attach", "-Z", "test-plain"}},
        {usage, "chunksize", {"attach", "test-plain", "--chunksize"}},
        {usage, "chunksize", {"attach", "--chunksize=", "test-plain"}},
        {usage, "dry-run", {"attach", "--dry-run=perhaps", "test-plain"}},
        {usage, "\\x1b", {"attach", "--\x1b[31m", "test-plain"}},
        {usage, "via", {"attach", "--via", "hooks", "test-plain"}},
        {usage, "via", {"attach", "--via", "", "test-plain"}},
        // Of an option given twice the last one counts, as LVM has it.
        {usage, "power of two", {"attach", "-c", "16k", "-c", "5k", "test-plain"}},
        {usage, "missing", {"attach"}},
        {usage, "missing", {"detach", "--force"}},
        {usage, "missing", {"remove"}},
        {usage, "missing", {"create", "-n", "x"}},
        {usage, "missing", {"checkpoint", "-n", "x"}},
        {usage, "missing", {"changed", "--since", "c1"}},
        {usage, "missing", {"clone"}},
        {usage, "missing", {"clone", "test-plain"}},
        {usage, "too many", {"clone", "test-plain", spare_disk(), spare_disk()}},
        {usage, "--name is missing", {"create", "test-plain"}},
        {usage, "--name is missing", {"checkpoint", "test-plain"}},
        {usage, "--since is missing", {"changed", "test-origin"}},
        {usage, "given twice", {"checkpoint", "-n", "x", "test-origin", "test-origin"}},
        {usage, "given twice", {"checkpoint", "-n", "x", "test-plain", "test-origin", "/dev/mapper/test-plain"}},
        {usage, "given twice", {"create", "-n", "x", "--store", "test-small", "--yes", "test-origin", "test-origin"}},
        {failed, "find", {"checkpoint", "-n", "x", "test-plain", "nothing-here"}},
        {failed, "has a point of that name", {"create", "-n", "s1", "test-origin", "test-plain"}},
        {failed, "has a snapshot of that name", {"create", "-n", "s1", "--store", "test-small", "--yes", "test-plain"}},
        {usage, "too many", {"changed", "--since", "c1", "test-origin", "test-plain"}},
        {usage, "yaml", {"list", "--reportformat", "yaml"}},
        {usage, "report format", {"status", "--reportformat", ""}},
        {usage, "unit", {"list", "--units", "q"}},
        {usage, "more than one letter", {"list", "--units", "kk"}},
        {usage, "", {"list", "--units", ""}},
        {failed, "no such field", {"list", "-o", "snap_name,bogus"}},
        {failed, "no such field", {"list", "-o", ""}},
        {failed, "no such field", {"list", "-o", "+"}},
        {usage, "MAJOR:MINOR", {"udev", "test-origin"}},
        {failed, "no image", {"udev", "4095:1"}},
    });
}

TEST_CASE("a size or a time that makes no sense is refused", "[bad-input-numbers]")
{
    const Targets targets;
    check_each(usage, "size", {"attach", "-c"},
        {"99999999999999999999k", "18446744073709551616b", "18014398509481984k", "9223372036854775808b", "99999999e",
            "1e3", "0x10", " 16k", "16k ", "16kk", "16 k", "+16k", "--16k", ".", "k", "4095b", "1.3b", "nan", "inf",
            "16k\n", "16\x1bk", "\xef\xbc\x91\xef\xbc\x96", "16q", "1,5k", std::string(4000, '1')},
        true);
    check_each(usage, "power of two", {"attach", "-c"},
        {"0", "0k", "512b", "1s", "2k", "5k", "12288b", "2m", "1g", "8191.5k", "7e"}, true);
    check_each(usage, "power of two", {"create", "-n", "x", "--store", "test-small", "-c"}, {"3k"}, true);
    check_each(usage, "deadline", {"checkpoint", "-n", "x", "--deadline"},
        {"1e400", "-1e400", "0", "-1", "nan", "inf", "601", "", "ten", "1s", "10 20", "99999999999999999999", "1\x1b"},
        true);
}

TEST_CASE("a name that is none is refused", "[bad-input-names]")
{
    const Targets targets;
    const std::vector<std::string> names = {"", ".", "..", "-x", "--", "a/b", "/", "../../etc/passwd", "a b", "a\tb",
        "a\nb", "a\x01z", "\x1b[31mred", "\x7f", "\xff\xfe", "\xc2\x9b", "\xc3\xbc", "a:b", "a,b", "*", "$(id)", ";id",
        "@tag", "a\\b", long_name, std::string(128, 'n'), std::string(70000, 'n'),
        "00112233-4455-4677-8899-aabbccddeeff"};
    check_each(usage, "name", {"checkpoint", "-n"}, names, true);
    check_each(usage, "name", {"create", "--store", "test-small", "-n"}, {"..", "a/b", std::string(121, 'n')}, true);
    check_all({
        {failed, "has a point of that name", {"checkpoint", "-n", "s1", "test-origin"}},
        {failed, "has a point of that name", {"create", "-n", "c1", "test-origin"}},
        {failed, "no such point", {"remove", "nothing"}},
        {failed, "no such point", {"remove", "test-origin:nothing"}},
        {failed, "no such point", {"remove", "--device", "test-origin", "nothing"}},
        {failed, "not attached", {"remove", "test-plain:s1"}},
        {failed, "not attached", {"remove", "--device", "test-plain", "s1"}},
        {failed, "nothing", {"remove", "nothing:s1"}},
        {failed, "nothing", {"remove", "--device", "nothing", "s1"}},
        {failed, "", {"remove", "--device", "", "s1"}},
        {failed, "", {"remove", ":s1"}},
        {usage, "name", {"remove", ""}},
        {usage, "name", {"remove", "test-origin:"}},
        {usage, "name", {"remove", ".."}},
        {usage, "name", {"remove", "\x1b[31m"}},
        {usage, "missing", {"rename", "s1"}},
        {usage, "too many", {"rename", "s1", "x", "y"}},
        {usage, "name", {"rename", "s1", "a/b"}},
        {usage, "name", {"rename", "s1", ""}},
        {usage, "uuid", {"rename", "c1", "00112233-4455-4677-8899-aabbccddeeff"}},
        {usage, "120 characters", {"rename", "s1", std::string(121, 'n')}},
        {failed, "has a point of that name", {"rename", "c1", "s1"}},
        {failed, "no such point", {"rename", "nothing", "x"}},
        {failed, "not attached", {"rename", "test-plain:s1", "x"}},
        {usage, "--addtag, --deltag or --data is missing", {"change", "s1"}},
        {usage, "missing", {"change", "--addtag", "t"}},
        {usage, "tag", {"change", "--addtag", "", "s1"}},
        {usage, "tag", {"change", "--addtag", "a b", "s1"}},
        {usage, "tag", {"change", "--addtag", "a,b", "s1"}},
        {usage, "dmsnap's own", {"change", "--addtag", "dmsnap/clone", "s1"}},
        {usage, "tag", {"change", "--deltag", "\x1b[31m", "s1"}},
        {usage, "longer than 255", {"change", "--addtag", std::string(256, 't'), "s1"}},
        {failed, "no such point", {"change", "--addtag", "t", "nothing"}},
        {failed, "more than 256 bytes", {"change", "--data", "-", "s1"}, std::string(300, 'x')},
        {failed, "nothing", {"list", "nothing"}},
        {failed, "", {"list", ""}},
        {failed, "\\x1b", {"list", "\x1b[31m"}},
    });
}

TEST_CASE("a device that is none, or not one to attach to, is refused", "[bad-input-devices]")
{
    const Targets targets;
    const DmDevice apart("test-apart", fmt::format("0 262144 linear {} 2097152\n", spare_disk()));
    const std::vector<std::string> none = {"nothing-here", "", "/", ".", "/etc/passwd", "/dev/null", "/dev/nothing",
        "/dev/mapper/control", "/proc/self/mem", "0:0", "4294967296:1", "999999999999999999999:1", "254:-1",
        "254:", "vg/nothing", "a/b/c", "../test-plain", "test-plain/", "test-plain ", "TEST-PLAIN", "\x1b[31mred",
        "a\nb", "\xff\xff", long_name, std::string(5000, '/'), "/dev/disk/by-uuid/nothing"};
    check_each(failed, "find", {"attach", "--"}, none, false);
    for (const std::string device : {"nothing-here", "", "/dev/null", "\x1b[31mred"})
        check_all({
            {failed, "find", {"checkpoint", "-n", "x", "--", device}},
            {failed, "find", {"create", "-n", "x", "--store", "test-small", "--", device}},
            {failed, "find", {"detach", "--", device}},
            {failed, "find", {"status", "--", device}},
            {failed, "find", {"changed", "--since", "c1", "--", device}},
        });
    const std::string image = targets.origin().image("s1");
    check_all({
        {failed, "no device-mapper device", {"attach", "--via", "table", disk_4k()}},
        {failed, "attached by its table", {"attach", "--via", "hook", "test-origin"}},
        {failed, "the store", {"attach", store_disk()}},
        {failed, "dmsnap's own", {"attach", image}},
        {failed, "dmsnap's own", {"checkpoint", "-n", "x", image}},
        {failed, "nothing-here", {"attach", "nothing-here", "nothing-here"}},
        {failed, "attached with chunks of", {"attach", "-c", "64k", "test-origin"}},
        {failed, "attached with chunks of", {"checkpoint", "-n", "x", "-c", "64k", "test-origin"}},
        {failed, "nothing-here", {"detach", "test-plain", "nothing-here"}},
        {failed, "has snapshots", {"detach", "test-origin", "test-origin"}},
        {failed, "find", {"clone", "test-plain", "nothing-here"}},
        {failed, "find", {"clone", "nothing-here", spare_disk()}},
        {failed, "it is the device itself", {"clone", "test-plain", "test-plain"}},
        {failed, "smaller than", {"clone", "test-plain", "test-small"}},
        {failed, "used by", {"clone", "--yes", "test-plain", store_disk()}},
        {failed, "larger than the device's", {"clone", "test-small", disk_4k()}},
        {failed, "the device lies on it", {"clone", "--yes", "test-origin", origin_disk()}},
        {usage, "no store yet", {"clone", "test-plain", apart.path()}},
        {usage, "it is the store as well", {"clone", "--store", apart.path(), "test-plain", apart.path()}},
        {failed, "the device lies on it", {"clone", "test-plain", spare_disk()}},
        {failed, "not attached", {"status", "test-plain"}},
        {failed, "not attached", {"list", "test-plain"}},
    });
}

TEST_CASE("a store or data that cannot be is refused", "[bad-input-store]")
{
    const Targets targets;
    const std::string image = targets.origin().image("s1");
    for (const std::string store : {"nothing-here", "", "/etc/passwd", "/dev/null", "\x1b[31mred"})
        check_refused({failed, "find", {"create", "-n", "x", "--store", store, "test-plain"}});
    check_all({
        {failed, "another device", {"create", "-n", "x", "--store", "/", "test-plain"}},
        {failed, "smaller than", {"create", "-n", "x", "--store", "test-small", "test-plain"}},
        {failed, "smaller than", {"create", "-n", "x", "--store", "test-tiny", "test-plain"}},
        {failed, "blocks of 4096 bytes", {"create", "-n", "x", "--store", disk_4k(), "test-plain"}},
        {failed, "it is the device itself", {"create", "-n", "x", "--store", "test-plain", "test-plain", "--yes"}},
        {failed, "keep their data in", {"create", "-n", "x", "--store", "test-plain", "test-origin"}},
        {failed, "read-only", {"create", "-n", "x", "--store", image, "test-plain"}},
        {usage, "no store yet", {"create", "-n", "x", "test-plain"}},
        {usage, "store", {"checkpoint", "-n", "x", "--store", "test-small", "test-plain"}},
        {failed, "read the data", {"checkpoint", "-n", "x", "--data", "/nothing", "test-plain"}},
        {failed, "read the data", {"checkpoint", "-n", "x", "--data", "", "test-plain"}},
        {failed, "read the data", {"checkpoint", "-n", "x", "--data", "/", "test-plain"}},
        {failed, "more than 256 bytes", {"checkpoint", "-n", "x", "--data", "/dev/zero", "test-plain"}},
        {failed, "more than 256 bytes", {"checkpoint", "-n", "x", "--data", "-", "test-plain"}, std::string(257, '\n')},
    });
}

TEST_CASE("changes since what is no point are refused, and nothing is printed", "[bad-input-changed]")
{
    const Targets targets;
    const std::string generation = targets.origin().generation();
    const std::vector<std::string> none = {"nothing", "", "0", "1", "now", "-", "\x1b[31m", "a\nb", long_name,
        generation, generation + ":", generation + ":0", generation + ":3", generation + ":-1", generation + ":+1",
        generation + ": 1", generation + ":1x", generation + ":18446744073709551617", ":1",
        "00112233-4455-4677-8899-aabbccddeeff", "00112233-4455-4677-8899-aabbccddeeff:1"};
    for (const std::string& point : none)
        check_all({
            {chain_broken, "find point", {"changed", "--since", point, "test-origin"}},
            {chain_broken, "find point", {"changed", "--since", "s1", "--until", point, "test-origin"}},
        });
    check_all({
        {failed, "is not before", {"changed", "--since", "c1", "--until", "s1", "test-origin"}},
        {failed, "is not before", {"changed", "--since", "c1", "--until", "c1", "test-origin"}},
        {chain_broken, "not attached", {"changed", "--since", "c1", "test-plain"}},
    });
}
