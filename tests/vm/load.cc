// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "load.h"

#include "command.h"

#include <fmt/format.h>
#include <fstream>
#include <stdexcept>

namespace dmsnap::test {
namespace {

constexpr std::string_view jobs = R"([global]
directory={directory}
size={size}
bsrange=4k-1m
rw=randwrite
iodepth=16
verify=crc32c
verify_fatal=1
fallocate=none

[direct]
ioengine=libaio
direct=1

[ring]
ioengine=io_uring
direct=1

[buffered]
ioengine=libaio

[mapped]
ioengine=mmap
)";

void lay_out(const std::string& directory, Bytes size)
{
    for (const char* job : {"direct", "ring", "buffered", "mapped"})
        must({"dd", "if=/dev/urandom", fmt::format("of={}/{}.0.0", directory, job), "bs=1M", "status=none",
            fmt::format("count={}", size.count >> 20)});
    must({"sync", "--file-system", directory});
}

} // namespace

Load::Load(std::string directory, Bytes file_size, Random& random)
    : job_file_("/tmp/load.fio"), seed_(random.below(1000000))
{
    lay_out(directory, file_size);
    std::ofstream file(job_file_);
    file << fmt::format(fmt::runtime(jobs), fmt::arg("directory", directory), fmt::arg("size", file_size.count));
    if (!file.flush())
        throw std::runtime_error("cannot write " + job_file_);
}

Load::~Load()
{
    stop_ = true;
    if (thread_.joinable())
        thread_.join();
}

void Load::start()
{
    running_ = true;
    thread_ = std::thread([this] { work(); });
}

void Load::work()
{
    while (!stop_ && failure_.empty()) {
        const unsigned pass = passes_ + 1;
        const Result result = run({"fio", fmt::format("--randseed={}", seed_ + pass), job_file_});
        if (result.status != 0)
            failure_ = fmt::format("pass {}: exit {}\n{}{}", pass, result.status, result.out, result.err);
        else
            ++passes_;
    }
    running_ = false;
}

void Load::stop()
{
    stop_ = true;
    thread_.join();
    if (!failure_.empty())
        throw std::runtime_error("fio failed: " + failure_);
}

} // namespace dmsnap::test
