// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "command.h"

#include "wait.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <fmt/format.h>
#include <fstream>
#include <nlohmann/json.hpp>
#include <spawn.h>
#include <sstream>
#include <stdexcept>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>

namespace dmsnap::test {
namespace {

/// A file without a name for one stream of a program: a pipe would fill up and make both wait.
class Stream {
public:
    Stream() : fd_(open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600))
    {
        if (fd_ < 0)
            throw std::system_error(errno, std::generic_category(), "/tmp");
    }
    ~Stream() { close(fd_); }
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;

    int fd() const { return fd_; }
    void fill(std::string_view text) const
    {
        if (pwrite(fd_, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
            throw std::system_error(errno, std::generic_category(), "input of a program");
    }
    std::string text() const
    {
        std::string text;
        std::array<char, 65536> buffer;
        ssize_t length = 0;
        while ((length = pread(fd_, buffer.data(), buffer.size(), static_cast<off_t>(text.size()))) > 0)
            text.append(buffer.data(), static_cast<std::size_t>(length));
        return text;
    }

private:
    int fd_;
};

int spawn(const Arguments& command, int in, int out, int err)
{
    std::vector<char*> words;
    for (const std::string& word : command)
        words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in, 0);
    posix_spawn_file_actions_adddup2(&actions, out, 1);
    posix_spawn_file_actions_adddup2(&actions, err, 2);
    pid_t pid = -1;
    const int error = posix_spawnp(&pid, words[0], &actions, nullptr, words.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0)
        throw std::system_error(error, std::generic_category(), command[0]);
    return pid;
}

int exit_status(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

Arguments with_tool(const Arguments& arguments)
{
    Arguments command = {"dmsnap"};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return command;
}

} // namespace

Result run(const Arguments& command, std::string_view input)
{
    const Stream in;
    const Stream out;
    const Stream err;
    in.fill(input);
    const int pid = spawn(command, in.fd(), out.fd(), err.fd());
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            throw std::system_error(errno, std::generic_category(), command[0]);
    return {exit_status(status), out.text(), err.text()};
}

std::string must(const Arguments& command, std::string_view input)
{
    Result result = run(command, input);
    if (result.status != 0)
        throw std::runtime_error(
            fmt::format("{}: exit {}\n{}{}", fmt::join(command, " "), result.status, result.out, result.err));
    return std::move(result.out);
}

std::string first_line(const Arguments& command)
{
    const std::string text = must(command);
    return text.substr(0, text.find('\n'));
}

void try_to(const Arguments& command) noexcept
{
    try {
        run(command);
    } catch (const std::exception&) {
        return; // nothing to clean up, or the test has failed already
    }
}

Result run_tool(const Arguments& arguments, std::string_view input) { return run(with_tool(arguments), input); }

std::string tool(const Arguments& arguments, std::string_view input) { return must(with_tool(arguments), input); }

std::string list_field(const std::string& point, const std::string& field)
{
    const auto report = nlohmann::json::parse(tool({"list", "--reportformat", "json", "-o", field, point}));
    return report.at("report").at(0).at("snap").at(0).at(field);
}

Background::Background(const Arguments& command) : command_(command)
{
    std::string name = "/tmp/vm-test-XXXXXX";
    const int log = mkostemp(name.data(), O_CLOEXEC);
    const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (log < 0 || null < 0)
        throw std::system_error(errno, std::generic_category(), name);
    log_ = name;
    pid_ = spawn(command, null, log, log);
    close(log);
    close(null);
}

Background::~Background()
{
    if (running()) {
        kill(pid_, SIGKILL);
        reap(true);
    }
    unlink(log_.c_str());
}

void Background::reap(bool block)
{
    int status = 0;
    if (status_ < 0 && waitpid(pid_, &status, block ? 0 : WNOHANG) == pid_)
        status_ = exit_status(status);
}

bool Background::running()
{
    reap(false);
    return status_ < 0;
}

int Background::wait(int seconds)
{
    wait_until(fmt::format("{} ends", fmt::join(command_, " ")), seconds, [this] { return !running(); });
    return status_;
}

std::string Background::output() const
{
    std::ostringstream text;
    text << std::ifstream(log_).rdbuf();
    return text.str();
}

} // namespace dmsnap::test
