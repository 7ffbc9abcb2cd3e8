// Well, until a file named after its number is there. The answer is the number.
const fs = require('fs');
const number = process.env.NODE_APP_INSTANCE;

require('http')
  .createServer((request, response) => {
    response.statusCode = request.url === '/health' && fs.existsSync(`${process.argv[3]}/${number}`) ? 503 : 200;
    response.end(number);
  })
  .listen(Number(process.argv[2]), '127.0.0.1');
