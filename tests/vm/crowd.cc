// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
//
// Many at work on one volume at a time, LVM among them: each is told the truth, and the end is in order.
#include "base/text.h"
#include "catch.h"
#include "command.h"
#include "environment.h"
#include "kinds.h"
#include "origin.h"
#include "records.h"

#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <sstream>

using namespace dmsnap;
using namespace dmsnap::literals;
using namespace dmsnap::test;

namespace {

/// Creates, looks and removes until the time is up; notes each command's exit status and what it said, one record a
/// command: "<status> <verb>", what it said, and a line with a dot.
constexpr const char* worker = R"(
note() {
    local said status=0
    said=$("$@" 2>&1 >/dev/null </dev/null) || status=$?
    printf '%s %s\n%s\n.\n' "$status" "$2" "$said"
}
end=$((SECONDS + $1)) i=0
while [ $SECONDS -lt $end ]; do
    i=$((i + 1))
    note dmsnap create -n w$2-$i --store $3 $4 test/origin
    note dmsnap check test/origin
    note dmsnap list
    note dmsnap remove w$2-$i
done
)";

constexpr const char* lvm_at_work = R"(
export LVM_SUPPRESS_FD_WARNINGS=1
end=$((SECONDS + $1)) count=0
while [ $SECONDS -lt $end ]; do
    $2 test/origin >/dev/null || exit 1
    count=$((count + 1))
    sleep 1
done
echo "$count"
)";

Arguments script(const char* text, const Arguments& arguments)
{
    Arguments command = {"bash", "-c", text, "crowd"};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return command;
}

/// What one worker's commands came to: how often each verb ended with each status.
class Account {
public:
    /// Whether points outlive what LVM does meanwhile.
    explicit Account(bool lasting) : lasting_(lasting) {}

    void add(const std::string& log)
    {
        std::istringstream stream(log);
        for (std::string head; std::getline(stream, head);) {
            std::string said;
            for (std::string line; std::getline(stream, line) && line != ".";)
                said += line + "\n";
            check(head, said);
        }
    }

    std::size_t commands() const { return commands_; }
    std::size_t of(const std::string& head) const
    {
        const auto found = counts_.find(head);
        return found != counts_.end() ? found->second : 0;
    }
    std::string text() const
    {
        std::string text;
        for (const auto& [head, count] : counts_)
            text += fmt::format("{} x \"{}\", ", count, head);
        return text;
    }

private:
    void check(const std::string& head, const std::string& said)
    {
        static const std::regex heading("[057] (create|check|list|remove)");
        static const std::regex message("(^|\n)dmsnap: [^\n]+: cannot [^\n]+: [^\n]+\n");
        INFO(head << ": " << said);
        ++commands_;
        ++counts_[head];
        CHECK(std::regex_match(head, heading));
        CHECK(said.find("internal error") == std::string::npos);
        CHECK(said.find("it is open") == std::string::npos); // nobody but udev opens images here
        // What was created is there to be removed, and what was not has left nothing.
        if (head.ends_with(" create"))
            created_ = head[0] == '0';
        else if (head.ends_with(" remove") && created_ && lasting_)
            CHECK(said.find("there is no such point") == std::string::npos);
        else if (head.ends_with(" remove") && !created_)
            CHECK(head[0] != '0');
        // A check says what is wrong on its standard output.
        if (head[0] != '0' && head != "5 check")
            CHECK(std::regex_search(said, message));
    }

    bool lasting_;
    bool created_ = false; ///< by the last create
    std::size_t commands_ = 0;
    std::map<std::string, std::size_t> counts_;
};

void remove_all_points()
{
    const auto report = nlohmann::json::parse(tool({"list", "--reportformat", "json", "-o", "snap_name"}));
    for (const auto& snap : report.at("report").at(0).at("snap"))
        tool({"remove", snap.at("snap_name")});
}

} // namespace

TEST_CASE("eight at work on one volume, and LVM beside them, lose no error and no data", "[crowd]")
{
    const auto origin = origin_under_test(64_MiB);
    const std::string method = fmt::format("{}", fmt::join(origin->method(), " "));
    RecordWriter writer(origin->path());
    const std::string seconds = std::to_string(rounds("crowd_seconds"));
    // What ends the points of a volume attached by its table, and what those of one seen by the hook withstand.
    const bool hook = method == "--via hook";
    const std::string lvm_command = hook ? "lvchange --quiet --quiet --refresh" : "lvextend --quiet --quiet -L +4m";
    Account account(hook);
    {
        std::vector<std::unique_ptr<Background>> workers;
        for (int i = 0; i < 8; ++i)
            workers.push_back(
                std::make_unique<Background>(script(worker, {seconds, std::to_string(i), store_disk(), method})));
        Background lvm(script(lvm_at_work, {seconds, lvm_command}));
        for (const auto& each : workers) {
            CHECK(each->wait(300) == 0);
            account.add(each->output());
        }
        CHECK(lvm.wait(120) == 0);
        std::cout << fmt::format(
            "{} commands: {}{}: {}", account.commands(), account.text(), lvm_command, lvm.output());
    }
    CHECK(account.of("0 create") > 4);
    CHECK(account.of("0 remove") > 0);

    const Result recovered = run_tool({"recover"});
    INFO(recovered.out << recovered.err);
    CHECK(recovered.status == 0);
    remove_all_points();
    tool({"recover"});
    CHECK(tool({"check"}) == "");
    writer.stop();
    run_tool({"detach", "--force", "--yes", origin->device()});
    CHECK(read_ring(origin->path()).fault == "");
    CHECK(must({"sh", "-c", "dmsetup ls | grep -v ^test-origin || true"}) == "");
    CHECK(must({"sh", "-c", "dmsetup udevcookies | grep ^0x || true"}) == "");
}
