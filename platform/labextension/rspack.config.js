// Numbered in order, so that what is built does not depend on the folder that it is built in.
module.exports = { optimization: { moduleIds: 'natural', chunkIds: 'natural' } };
