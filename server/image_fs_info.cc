#include "base/time.h"
#include "server/handlers.h"

namespace berth::server {

base::Result<cri::ImageFsInfoResponse> ImageFsInfo(Services& services, const cri::ImageFsInfoRequest&,
                                                   const base::Context&) {
  const image::StoreUsage usage = services.images.Usage();
  cri::FilesystemUsage filesystem;
  filesystem.set_timestamp(base::UnixNanos());
  filesystem.mutable_fs_id()->set_mountpoint(services.config.state_root.native());
  filesystem.mutable_used_bytes()->set_value(usage.bytes);
  filesystem.mutable_inodes_used()->set_value(usage.inodes);
  cri::ImageFsInfoResponse reply;
  *reply.add_image_filesystems() = filesystem;
  *reply.add_container_filesystems() = filesystem;  // layers and writable layers share one file system
  return reply;
}

}  // namespace berth::server
