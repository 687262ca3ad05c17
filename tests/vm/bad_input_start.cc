// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
//
// dmsnap where it cannot work: no root, no module, another module, streams that are closed or full.
#include "bad_input.h"
#include "catch.h"
#include "disk.h"
#include "dm_state.h"
#include "environment.h"

#include <filesystem>
#include <fmt/format.h>

using namespace dmsnap;
using namespace dmsnap::literals;
using namespace dmsnap::test;

namespace {

constexpr int cannot_start = 4;
constexpr int failed = 5;

/// One command line of each verb that asks device-mapper for something.
const std::vector<Arguments> all_verbs = {{"attach", "test-plain"}, {"detach", "test-origin"},
    {"create", "-n", "x", "test-origin"}, {"checkpoint", "-n", "x", "test-origin"}, {"remove", "s1"},
    {"rename", "s1", "x"}, {"change", "--addtag", "t", "s1"}, {"changed", "--since", "s1", "test-origin"}, {"list"},
    {"status"}, {"status", "test-origin"}, {"check"}, {"recover"}, {"clone", "test-plain", "test-small"},
    {"mirror", "test-plain", "test-small"}, {"attach", "--table", "/dev/null", "test-plain"},
    {"create", "-n", "x", "test-origin", "test-plain"}, {"checkpoint", "-n", "x", "test-origin", "test-plain"}};

bool changes_something(const Arguments& verb)
{
    return verb[0] != "changed" && verb[0] != "list" && verb[0] != "status" && verb[0] != "check";
}

void check_start_refused(const Arguments& command, const std::string& says)
{
    const std::string before = device_mapper_state();
    const Result result = run(command);
    INFO(shown(command) << "\n" << result.out << result.err);
    CHECK(result.status == cannot_start);
    CHECK(result.out == "");
    CHECK(fault_in_message(result.err) == "");
    CHECK(result.err.find(says) != std::string::npos);
    CHECK(device_mapper_state() == before);
}

Arguments tool_command(const Arguments& arguments)
{
    Arguments command = {"dmsnap"};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return command;
}

/// A file that is away while this lives.
class Away {
public:
    explicit Away(std::string path) : path_(std::move(path)) { std::filesystem::rename(path_, path_ + ".away"); }
    ~Away()
    {
        std::error_code ignored;
        std::filesystem::rename(path_ + ".away", path_, ignored);
    }
    Away(const Away&) = delete;
    Away& operator=(const Away&) = delete;

private:
    std::string path_;
};

/// What a shell makes of the tool's streams.
Result in_shell(const std::string& command) { return run({"sh", "-c", command}); }

} // namespace

TEST_CASE("without root dmsnap does not start", "[bad-input-start]")
{
    const Targets targets;
    for (const Arguments& verb : all_verbs) {
        Arguments command = {"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"};
        for (const std::string& word : tool_command(verb))
            command.push_back(word);
        check_start_refused(command, "needs root");
    }
    CHECK(run({"setpriv", "--reuid=65534", "--", "dmsnap", "help"}).status == 0);
    CHECK(run({"setpriv", "--reuid=65534", "--", "dmsnap", "attach", "-c", "5k", "x"}).status == 3);
}

TEST_CASE("without its module dmsnap changes nothing and says so", "[bad-input-start]")
{
    const DmDevice plain("test-plain", fmt::format("0 131072 linear {} 0", spare_disk()));
    try_to({"rmmod", "dm-interpose"});
    const Away module("/etc/modprobe.d/dmsnap.conf");
    for (const Arguments& verb : all_verbs)
        if (changes_something(verb))
            check_start_refused(tool_command(verb), "it is not there");
    // To report that nothing is attached needs none.
    CHECK(tool({"status"}) == "");
    CHECK(run_tool({"list"}).status == 0);
    CHECK(run_tool({"changed", "--since", "x", "test-plain"}).status == 7);
    CHECK(tool({"version"}).find("module") == std::string::npos);
}

TEST_CASE("a closed or full stream costs the result and nothing else", "[bad-input-start]")
{
    const Targets targets;
    Buffer buffer(4_KiB);
    Disk(targets.origin().path()).write({0}, buffer.span()); // something to print for `changed`
    const std::string before = device_mapper_state();
    for (const std::string verb :
        {"list", "status", "changed --since s1 test-origin", "help", "version", "remove --dry-run s1"})
        for (const std::string out : {">&-", ">/dev/full"}) {
            const Result result = in_shell(fmt::format("dmsnap {} {}", verb, out));
            INFO(verb << out << "\n" << result.err);
            CHECK(result.status == failed);
            CHECK(fault_in_message(result.err) == "");
            CHECK(result.err.find("standard output: cannot write to it") != std::string::npos);
        }
    CHECK(in_shell("dmsnap status nothing-here 2>&-").status == failed);
    CHECK(in_shell("dmsnap snapshoot 2>/dev/full").status == 2);
    CHECK(device_mapper_state() == before);

    // With all three closed no device becomes one of them.
    CHECK(in_shell("dmsnap remove -v s1 <&- >&- 2>&-").status == 0);
    CHECK(in_shell("dmsnap create -v -n s1 --store $DMSNAP_TEST_STORE test-origin <&- >&- 2>&-").status == 0);
    CHECK(in_shell("dmsnap status test-origin <&- 2>&- | grep -q store").status == 0);
    CHECK(Disk(targets.origin().image("s1")).size() == targets.origin().size());
}

TEST_CASE("data that cannot be read is not taken for none", "[bad-input-start]")
{
    const Targets targets;
    const std::string before = device_mapper_state();
    for (const std::string in : {"<&-", "</root", "</proc/self/mem"}) {
        const Result result = in_shell("dmsnap checkpoint -n x --data - test-origin " + in);
        INFO(in << "\n" << result.err);
        CHECK(result.status == failed);
        CHECK(fault_in_message(result.err) == "");
        CHECK(result.err.find("standard input: cannot read the data") != std::string::npos);
    }
    CHECK(device_mapper_state() == before);
}

TEST_CASE("a module of another interface is left alone", "[bad-interface]")
{
    const DmDevice plain("test-plain", fmt::format("0 131072 linear {} 0", spare_disk()));
    try_to({"rmmod", "dm-interpose"});
    const std::string module = "/dmsnap/interface/dm-interpose.ko";
    must({"sh", "-c", fmt::format("modprobe dm-interpose && rmmod dm-interpose && insmod {0}", module)});
    for (const Arguments& verb : all_verbs)
        if (changes_something(verb) && verb[0] != "detach")
            check_start_refused(tool_command(verb), "upgrade dmsnap");

    // What another dmsnap attached can be detached, and is shown as what it is.
    const std::string before = must({"dmsetup", "table", "test-plain"});
    must({"dmsetup", "load", "test-plain"},
        fmt::format("0 131072 interpose {} 0 00112233-4455-4677-8899-aabbccddeeff 32", spare_disk()));
    must({"dmsetup", "resume", "test-plain"});
    const Result status = run_tool({"status", "test-plain"});
    INFO(status.out << status.err);
    CHECK(status.status == 0);
    CHECK(status.out.find("interface       1000") != std::string::npos);
    const Result listed = run_tool({"list"});
    INFO(listed.out << listed.err);
    CHECK(listed.status == 0);
    CHECK(listed.err.find("upgrade dmsnap") != std::string::npos);
    const Result checked = run_tool({"check"});
    INFO(checked.out << checked.err);
    CHECK(checked.status == failed);
    CHECK(checked.out.find("upgrade dmsnap") != std::string::npos);
    const Result changed = run_tool({"changed", "--since", "x", "test-plain"});
    CHECK(changed.status == cannot_start);
    CHECK(changed.err.find("upgrade dmsnap") != std::string::npos);
    const Result detached = run_tool({"detach", "test-plain"});
    INFO(detached.err);
    CHECK(detached.status == 0);
    CHECK(must({"dmsetup", "table", "test-plain"}) == before);
    must({"rmmod", "dm-interpose"});
}
