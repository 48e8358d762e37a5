import BlockCache
