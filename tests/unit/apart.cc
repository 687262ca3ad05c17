// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors

#include "catch.h"

#include "base/error.h"
#include "world/apart.h"

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <new>
#include <thread>
#include <unistd.h>

using namespace dmsnap;
using namespace std::chrono_literals;

namespace {

std::string apart(const std::function<std::string()>& act, std::chrono::milliseconds deadline = 10s)
{
    return run_apart("/a", "look at it", deadline, act, [] {});
}

template <typename Call> std::string words_of(Call call)
{
    try {
        call();
    } catch (const Error& error) {
        return fmt::format("{}; {}", error.what(), error.next_step());
    }
    return "no error";
}

} // namespace

TEST_CASE("a child brings back what it found, however long that is", "[unit]")
{
    CHECK(apart([] { return std::string(); }).empty());
    CHECK(apart([] { return std::string("x\n"); }) == "x\n");
    CHECK(apart([] { return std::string(1 << 20, 'y'); }) == std::string(1 << 20, 'y'));
}

TEST_CASE("a child's error is its parent's", "[unit]")
{
    CHECK(words_of([] { apart([]() -> std::string { throw Error("/b", "open it", "it is shut", "knock"); }); }) ==
          "/b: cannot open it: it is shut; knock");
}

TEST_CASE("a child that dies is no filesystem that does not answer", "[unit]")
{
    const std::string died = "/a: cannot look at it: the process that was to do it has died; again";
    CHECK(words_of([] { apart([]() -> std::string { throw std::bad_alloc(); }); }) == died);
    CHECK(words_of([] {
        apart([]() -> std::string {
            raise(SIGKILL);
            return {};
        });
    }) == died);
}

TEST_CASE("a child holds no file of its parent's", "[unit]")
{
    int pipe_ends[2];
    REQUIRE(pipe(pipe_ends) == 0);
    const std::string files = apart([] {
        std::string text;
        for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
            std::error_code error;
            const auto target = std::filesystem::read_symlink(entry.path(), error);
            if (!error && !target.string().starts_with("/proc/"))
                text += entry.path().filename().string() + " " + target.string().substr(0, 5) + "\n";
        }
        return text;
    });
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    for (const char* standard : {"0 /dev/", "1 /dev/", "2 /dev/", "3 pipe:"})
        CHECK(files.find(standard) != std::string::npos);
    CHECK(files.find("pipe:") == files.rfind("pipe:"));
}

TEST_CASE("what comes too late is not waited for, and undone", "[unit]")
{
    const std::filesystem::path mark =
        std::filesystem::temp_directory_path() / fmt::format("dmsnap-apart-{}", getpid());
    CHECK(
        words_of([&] {
            run_apart(
                "/a", "look at it", 50ms,
                [] {
                    std::this_thread::sleep_for(500ms);
                    return std::string("late");
                },
                [&] { std::ofstream(mark) << "undone"; });
        }) ==
        "/a: cannot look at it: its filesystem does not answer within 0 s; it may be frozen; again, once it takes writes");
    for (int i = 0; i < 100 && !std::filesystem::exists(mark); ++i)
        std::this_thread::sleep_for(100ms);
    CHECK(std::filesystem::remove(mark));
}
